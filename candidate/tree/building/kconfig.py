# SPDX-License-Identifier: GPL-2.0-only
"""The contents of Kbuild and Kconfig files, as far as they are needed; no configuration is generated."""

import re
from typing import Final

from .source import ARM, TreeSource

# Selected symbols of arm64 or KVM that are left out: debugging, tracing, assembly, features that s2fuzz cannot use.
_LEFT_OUT: Final = re.compile(
    "GCC_PLUGIN|JUMP_LABEL$|^KVM_PRIVATE|IRQ_|FTRACE|TRACE|STACKTRACE|KASAN|KCSAN|KFENCE|SWIOTLB"
    "|ACPI|EFI|COMPAT|PRINTK|DEBUG|^CLONE_BACKWARDS"
)
_ASSIGNMENT: Final = re.compile(r"(\S+)\s*\+?=\s*(.*)")
_SELECT: Final = re.compile(r"^\s+select (\w+)\s*(?:#.*)?$", re.MULTILINE)


def named_headers(source: TreeSource, path: str, kind: str) -> list[str]:
    """Return the headers that a Kbuild file lists.

    :param kind: ``generic-y``, ``mandatory-y``
    """
    found: list[str] = []
    for line in source.text(path).replace("\\\n", " ").splitlines():
        assignment = _ASSIGNMENT.match(line)
        if assignment and assignment[1] == kind:
            found += assignment[2].split()
    return found


def selected(source: TreeSource) -> list[str]:
    """Return the symbols that ARM64, ARM64_MTE and KVM select unconditionally, and what the symbols of KVM select."""
    arm, kvm, virt = f"{ARM}/Kconfig", f"{ARM}/kvm/Kconfig", "virt/kvm/Kconfig"
    left = _selects(source, arm, "ARM64") + _selects(source, arm, "ARM64_MTE") + _selects(source, kvm, "KVM")
    found: list[str] = []
    while left:
        name = left.pop(0)
        if name not in found:
            found.append(name)
            left += _selects(source, kvm, name) + _selects(source, virt, name)
    return found


def _selects(source: TreeSource, path: str, symbol: str) -> list[str]:
    text = source.text(path).replace("\\\n", " ")
    end = r"^(?:menu)?config |^if |^endif|^source |\Z"
    entry = re.search(rf"^(?:menu)?config {symbol}\n(.*?)(?={end})", text, re.DOTALL | re.MULTILINE)
    return sorted({name for name in _SELECT.findall(entry[1]) if not _LEFT_OUT.search(name)}) if entry else []
