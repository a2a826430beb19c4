# SPDX-License-Identifier: GPL-2.0-only
"""Further C files that a build compiles: those into which a patch has moved code of the files that it always compiles.

A patch may move a function from ``mmu.c`` into a new file, which a Makefile of KVM then lists. The build compiles such
a file if a compiled file needs a symbol that the new file defines, and that nothing else provides. The Makefiles are
read only if such a symbol is missing.
"""

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .compiler import CompileFailedError, CompilerJob, run_all
from .objects import MADE, ObjectCache
from .plan import BuildPlan
from .source import ARM, COMPILED, MAKEFILES, VHE, VIRT, TreeSource
from .symbols import defined_by, missing, own_names

# Stands for `VIRT` in the Makefiles.
_FOLDER: Final = "$(KVM)/"
_LIST: Final = re.compile(r"^(?:kvm|obj)-\S+\s*[:+]?=(.*)", re.MULTILINE)
_REMARK: Final = re.compile(r"#.*")
_OBJECT: Final = re.compile(r"(\S+)\.o")
# Files that no build compiles: registers of vCPUs, interrupts, devices, the entry of guests. Programs that call an
# unlisted function of such a file have no verdict.
_NEVER: Final = frozenset(
    (
        *(
            "arch_timer",
            "arm",
            "at",
            "config",
            "debug",
            "emulate-nested",
            "fpsimd",
            "guest",
            "handle_exit",
            "hyp_trace",
        ),
        *("hypercalls", "inject_fault", "mmio", "pauth", "perf", "pkvm", "pmu", "pmu-emul", "psci", "ptdump", "pvtime"),
        *("reset", "stacktrace", "sys_regs", "trng", "va_layout", "vgic-sys-reg-v3", "vmid"),
        *("aarch32", "debug-sr", "entry", "exception", "hyp-entry", "reserved_mem", "switch", "sysreg-sr", "timer-sr"),
        *("vgic-v2-cpuif-proxy", "vgic-v3-sr", "vgic-v5-sr"),
        *("async_pf", "binary_stats", "coalesced_mmio", "eventfd", "irqchip", "pfncache", "vfio"),
    )
)
_INTERRUPTS: Final = f"{ARM}/kvm/vgic/"


@dataclass
class AddedFiles:
    """The further files of a build, as paths below the tree.

    *compiled*: files that are part of the library; *failed*: file -> why it cannot be compiled, although it may define
    a needed symbol; *passed*: other files that the Makefiles list, which define none
    """

    compiled: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)


def add_files(
    source: TreeSource, plan: BuildPlan, kept: ObjectCache, work: Path, message: Callable[[CompileFailedError], str]
) -> AddedFiles:
    """Compile the further files that a build needs, and add them to its plan.

    A file that cannot be compiled is left out. It may be full of code for arm64 only, and no program may call it.

    :param plan: its objects are compiled, and not modified yet
    :param message: returns the message about a file that cannot be compiled
    :raises TreeError: binutils are missing
    :raises CompileFailedError: a file cannot be compiled, and it is not known which files the compiler looked for
    """
    found = AddedFiles()
    wanted = missing(work, plan.tree, plan.mixed, plan.host)
    left = listed(source) if wanted else {}
    # Files that are compiled and not needed so far: path -> job and the symbols that the file defines.
    ready: dict[str, tuple[CompilerJob, set[str]]] = {}
    while wanted:
        if path := next((path for path, (_, defined) in ready.items() if not defined.isdisjoint(wanted)), ""):
            job, defined = ready.pop(path)
            found.compiled.append(path)
            # Calls within kvm_main.c, from which this code has come, are not reported either.
            own = own_names(work, plan.mixed) if path.startswith(VIRT) else []
            plan.add(job, path, [*own, *(name for name in defined if wanted.get(name))])
            wanted = missing(work, plan.tree, plan.mixed, plan.host)
            continue
        word = re.compile(rf"\b(?:{'|'.join(wanted)})\b")
        path = next((path for path in left if word.search(source.text(path))), "")
        if not path:
            break
        job = plan.added_job(path, vhe=left.pop(path))
        try:
            if not kept.take(job):
                run_all([job], work)
                kept.keep([job])
        except CompileFailedError as failed:
            if not (work / f"{job.name}.d").exists():
                raise
            found.failed[path] = message(failed)
            _remove(job, work)
        else:
            ready[path] = job, defined_by([f"{job.name}.o"], work)
    for job, _ in ready.values():
        _remove(job, work)
    found.passed += [*ready, *left]
    return found


def listed(source: TreeSource) -> dict[str, bool]:
    """Return the C files that the Makefiles of KVM list, except those that a build always or never compiles.

    :returns: path -> whether the Makefile for VHE lists it
    """
    found: dict[str, bool] = {}
    for makefile, folder in MAKEFILES.items():
        text = _REMARK.sub("", source.text(makefile)).replace("\\\n", " ")
        for name in (name for line in _LIST.findall(text) for name in _OBJECT.findall(line)):
            path = posixpath.normpath(name.replace(_FOLDER, VIRT) if _FOLDER in name else f"{folder}/{name}") + ".c"
            if path in COMPILED or posixpath.basename(name) in _NEVER or path.startswith(_INTERRUPTS):
                continue
            if path not in found and source.has(path):
                found[path] = folder == VHE
    return found


def _remove(job: CompilerJob, work: Path) -> None:
    """Remove the output of a compiler run, except the list of the files that it read."""
    for kind in MADE:
        if kind != ".d":
            (work / f"{job.name}{kind}").unlink(missing_ok=True)
