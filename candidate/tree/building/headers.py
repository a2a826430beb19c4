# SPDX-License-Identifier: GPL-2.0-only
"""The headers that a kernel build would generate, made from the tree alone."""

import subprocess
from typing import Final

from .errors import TreeError
from .kconfig import named_headers, selected
from .source import ARM, ARM_C, TreeSource
from .sync_dirty_log import sync_dirty_log

# A real build gets these from a compiler for arm64. Upper bounds suffice: stage 2 does not depend on exact values.
_BOUNDS: Final = {
    "NR_PAGEFLAGS": 28,
    "MAX_NR_ZONES": 4,
    "NR_CPUS_BITS": 8,
    "SPINLOCK_SIZE": 4,
    "LRU_GEN_WIDTH": 0,
    "__LRU_REFS_WIDTH": 0,
}
# Headers that are included but not used.
_EMPTY: Final = (
    "generated/asm-offsets.h",
    "asm/asm-offsets.h",
    "asm/unistd_64.h",
    "asm/unistd_32.h",
    "asm/unistd_compat_32.h",
    "asm/syscall_table_64.h",
)
# Seconds that a script of the tree may take.
_SECONDS: Final = 60
# No code may depend on the version.
_VERSION: Final = """\
#define LINUX_VERSION_CODE 0
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
"""


def generated(source: TreeSource) -> dict[str, str]:
    """Return the generated headers: path below their folder -> text.

    :raises TreeError: a script of the tree fails
    """
    made = dict.fromkeys(_EMPTY, "")
    made |= _wrappers(source)
    made |= _scripts(source)
    made["generated/bounds.h"] = "".join(f"#define {name} {value}\n" for name, value in _BOUNDS.items())
    made["generated/timeconst.h"] = "#define HZ_TO_MSEC_NUM 1\n#define HZ_TO_MSEC_DEN 1\n"
    made["generated/sync-dirty-log.h"] = sync_dirty_log(source.text(ARM_C))
    made["generated/rq-offsets.h"] = "#define RQ_nr_pinned 0\n"
    made["generated/utsrelease.h"] = '#define UTS_RELEASE "s2fuzz"\n'
    made["generated/uapi/linux/version.h"] = made["linux/version.h"] = _VERSION
    made["generated/selects.h"] = "".join(
        f"#ifndef CONFIG_{name}\n#define CONFIG_{name} 1\n#endif\n" for name in selected(source)
    )
    return made


def _wrappers(source: TreeSource) -> dict[str, str]:
    """Return the headers of asm/ that only include asm-generic/, as ``scripts/Makefile.asm-generic`` makes them."""
    made: dict[str, str] = {}
    for folder, below in (("include", ""), ("include/uapi", "uapi/")):
        names = named_headers(source, f"{ARM}/{folder}/asm/Kbuild", "generic-y")
        for name in names + named_headers(source, f"{folder}/asm-generic/Kbuild", "mandatory-y"):
            if not source.has(f"{ARM}/{folder}/asm/{name}"):
                made[f"{below}asm/{name}"] = f"#include <asm-generic/{name}>\n"
    return made


def _scripts(source: TreeSource) -> dict[str, str]:
    """Return the output of the tree's own scripts: system registers, capabilities, user-visible features."""
    made = {"asm/sysreg-defs.h": "", "asm/cpucap-defs.h": ""}
    tools = f"{ARM}/tools"
    for script, data, header in (
        ("gen-sysreg.awk", "sysreg", "asm/sysreg-defs.h"),
        ("gen-cpucaps.awk", "cpucaps", "asm/cpucap-defs.h"),
    ):
        if source.has(f"{tools}/{script}") and source.has(f"{tools}/{data}"):
            made[header] = _output(source, ["awk", "-f", f"{tools}/{script}", f"{tools}/{data}"])
    if made["asm/cpucap-defs.h"] and not source.has(f"{ARM}/include/asm/cpucaps.h"):
        # Some trees generate the whole header, others a part of it.
        made["asm/cpucaps.h"] = made["asm/cpucap-defs.h"]
    features, script = f"{ARM}/include/uapi/asm/hwcap.h", f"{tools}/gen-kernel-hwcaps.sh"
    if source.has(script) and source.has(features):
        made["asm/kernel-hwcap.h"] = _output(source, ["sh", script, features])
    return made


def _output(source: TreeSource, command: list[str]) -> str:
    """Run a script in the tree's folder, and return its output.

    :raises TreeError: the script cannot be run, or fails
    """
    try:
        done = subprocess.run(
            command, cwd=source.root, capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = getattr(error, "strerror", None) or f"it timed out after {_SECONDS} s"
        raise TreeError(f"{source.name}: cannot run `{' '.join(command)}`: {why}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise TreeError(f"{source.name}: its script fails: `{' '.join(command)}`: {said}")
    return done.stdout
