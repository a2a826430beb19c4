# SPDX-License-Identifier: GPL-2.0-only
"""``kvm_arch_sync_dirty_log()`` of a tree: the one function of arm.c that a build compiles.

Common code calls it before it reads a dirty log. In Linux it is empty for arm64. Patches by which the hardware manages
the dirty state collect that state here. arm.c itself is not compiled, so the build compiles the function's text.
"""

import re
from typing import Final

from .source import ARM_C

_FUNCTION: Final = re.compile(
    r"^void kvm_arch_sync_dirty_log\([^)]*\)\s*\{\n(?P<body>(?:(?!^\}).*\n)*)^\}$", re.MULTILINE
)
_STATIC: Final = re.compile(r"^static\b[^;={]*?\b(\w+)\s*[(;=\[]", re.MULTILINE)
_REMARK: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_MACRO: Final = "#define HAVE_SYNC_DIRTY_LOG\n"
_REFUSAL: Final = (
    f"{_MACRO}#include <shim.h>\n"
    "void kvm_arch_sync_dirty_log(struct kvm *kvm, struct kvm_memory_slot *memslot)\n"
    '{{ shim_refuse("kvm_arch_sync_dirty_log() uses {name}, which is local to arm.c"); }}\n'
)


def sync_dirty_log(text: str) -> str:
    """Return the function of arm.c as C code; "" if there is none, or if it does nothing.

    A program that calls a function which uses local names of arm.c has no verdict.

    :param text: arm.c; "" if there is no such file
    """
    found = _FUNCTION.search(text)
    if found is None or not _REMARK.sub("", found["body"]).strip():
        return ""
    local = set(_STATIC.findall(text)) & set(re.findall(r"\w+", _REMARK.sub("", found["body"])))
    if local:
        return _REFUSAL.format(name=min(local))
    line = text.count("\n", 0, found.start()) + 1
    return f'{_MACRO}#line {line} "{ARM_C}"\n{found[0]}\n'
