# SPDX-License-Identifier: GPL-2.0-only
"""The plan of a build: flags, include folders, units.

All paths are relative to the folder of a build, where ``tree`` and ``native`` are links. So the library does not
depend on the location of the tree.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .compiler import HERE, Compiler, CompilerJob
from .source import ARM, FIRST_HEADERS, INTERVAL_TREE, KVM_MAIN, MMU, NESTED, PGTABLE, RBTREE, TLB, VHE, TreeSource

NATIVE: Final = Path(__file__).resolve().parent.parent / "native"
TREE: Final = "tree"
# Prefix of the tree's files in the output of the compiler.
BELOW: Final = f"{TREE}/"
# The function of pgtable.c that walks tables.
WALK: Final = "kvm_pgtable_walk"
GENERATED: Final = "generated"
# The header with the macros of `candidate.tree.building.probes`.
PROBES: Final = "probe.h"
GRANULES: Final = (12, 14, 16)
COUNTERS_SCRIPT: Final = "native/counters.ld"
# The object of native/glue.c, which includes the tree's kvm_main.c.
_MAIN_OBJECT: Final = "glue.o"

# Include folders in search order: our headers first, then as in a kernel build.
INCLUDES: Final = (
    "native/shim",
    "native",
    f"{TREE}/{ARM}/include",
    GENERATED,
    f"{TREE}/include",
    f"{TREE}/{ARM}/include/uapi",
    f"{GENERATED}/uapi",
    f"{TREE}/include/uapi",
    f"{GENERATED}/generated/uapi",
    f"{TREE}/{ARM}/kvm",
    f"{TREE}/virt/kvm",
    ".",
)
# The flags of a kernel build that affect what the code does.
_KERNEL: Final = (
    *("-std=gnu11", "-fno-strict-aliasing", "-fno-common", "-fms-extensions", "-fshort-wchar", "-funsigned-char"),
    *("-fno-strict-overflow", "-fno-delete-null-pointer-checks", "-fno-builtin", "-fno-stack-protector"),
    *("-D__KERNEL__", "-D__aarch64__", "-U__x86_64__", "-U__i386__", "-U__linux__", "-U__unix__", "-Ulinux", "-Uunix"),
    *("-D__DISABLE_EXPORTS", "-DKASAN_SHADOW_SCALE_SHIFT="),
    *('-DKBUILD_MODFILE="kvm"', '-DKBUILD_BASENAME="kvm"', '-DKBUILD_MODNAME="kvm"'),
    # Kernel code uses no floating point registers; SSE stores would escape the instrumentation.
    "-mgeneral-regs-only",
    # Backtraces of events follow frame pointers.
    *("-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"),
)
# Without these, a misspelt function would become an undefined symbol or truncate a pointer, and a signature that
# differs from what native/ expects would go unnoticed.
_MISTAKES: Final = tuple(
    f"-Werror={each}"
    for each in ("implicit-function-declaration", "implicit-int", "int-conversion", "incompatible-pointer-types")
)
_COMMON: Final = (
    *("-g", "-fPIC", "-fmax-errors=1", "-fdiagnostics-plain-output"),
    # For `candidate.tree.building.callgraph`.
    *("-ffunction-sections", "-fdata-sections"),
)
# Flags of our files that use no kernel types, and of the stubs for symbols that no file defines.
HOST_FLAGS: Final = ("-std=gnu11", "-O2", "-fno-builtin-malloc")
_STUBS: Final = ("-std=gnu11", "-O1", "-fno-builtin", "-w")
# Plain loads and stores of table entries become calls. rt_plain.c defines them instead of this sanitizer's runtime.
_PLAIN: Final = (
    *("-fsanitize=thread", "--param=tsan-distinguish-volatile=1"),
    "--param=tsan-instrument-func-entry-exit=0",
)
# Checks whose handlers are in native/rt_sanitize.c. Checks of what kernel code does on purpose are left out: wrapping
# overflow, the address of a member of NULL.
_UNDEFINED: Final = ("-fsanitize=shift,bounds,integer-divide-by-zero,bool,enum,unreachable,vla-bound",)
# Functions of libc that take addresses. Kernel code calls our wrappers, which check the addresses first. Functions that
# only read matter only if accesses are checked.
_WRITING: Final = ("memset", "memcpy", "memmove")
_READING: Final = ("memcmp",)

# Functions of tlb.c that the other files call.
_FLUSHES: Final = (
    "__kvm_tlb_flush_vmid",
    "__kvm_tlb_flush_vmid_ipa",
    "__kvm_tlb_flush_vmid_ipa_nsh",
    "__kvm_tlb_flush_vmid_range",
)

# Uninitialised local variables hold zeroes, as in default kernel builds (CONFIG_INIT_STACK_ALL_ZERO), and not values of
# an earlier call. With sanitizers they hold a pattern that makes a wild pointer.
_UNSET: Final = "-ftrivial-auto-var-init="
_UNSET_SINCE: Final = 12

# Flags of arch/arm64/kvm/hyp/vhe/Makefile, with room for addresses of 52 bits in VTTBR_EL2. arm64 instructions are
# reported instead of executed (native/shim/asm/tlbflush.h). Their operands are written as `%x0`, which gcc for x86-64
# accepts only for some registers, so the others are fixed. -O2 because functions that must be inlined are called by
# pointers, which -O1 does not resolve.
_TLB: Final = (
    *("-D__KVM_VHE_HYPERVISOR__", "-DSHIM_TLB_C", "-DCONFIG_ARM64_PA_BITS_52=1", "-O2"),
    *(f"-ffixed-r{number}" for number in range(8, 16)),
)

# Count how often each path through the code is taken (`candidate.tree.building.counters`). The counters are atomic
# because plain ones would be instrumented as plain accesses.
_COUNTERS: Final = ("-fprofile-arcs", "-ftest-coverage", "-fprofile-update=atomic", "-frandom-seed=s2fuzz")


@dataclass(frozen=True)
class BuildSettings:
    """The settings by which a tree is built.

    :param granule: log2 of the page size in bytes: 12, 14 or 16
    :param sanitize: a use after free, an access out of bounds or undefined behaviour ends the call
    :param coverage: count how often the code of kernel files runs
    :param optimise: ``-O1`` or ``-O2``
    :param plain: plain loads and stores of table entries are events too
    """

    granule: int = 12
    sanitize: bool = False
    coverage: bool = False
    optimise: str = "-O1"
    plain: bool = False

    def __post_init__(self) -> None:
        if self.granule not in GRANULES:
            raise ValueError(f"granule {self.granule}; allowed: 12, 14, 16")
        if self.optimise not in ("-O1", "-O2"):
            raise ValueError(f"optimise {self.optimise!r}; allowed: -O1, -O2")

    def name(self) -> str:
        """Return a unique name of these settings."""
        return f"{self.granule}{self.optimise}" + "".join(
            f"-{word}" for word in ("sanitize", "coverage", "plain") if getattr(self, word)
        )


class BuildPlan:
    """The compiler runs of one build, largest first.

    *tree*: objects of the tree's files; *mixed*: objects of our files that include files of the tree; *host*: objects
    of our files that use libc; *files*: object -> file of the tree, for its stage-2 code. `add` extends *tree* and
    *files*.
    """

    def __init__(self, source: TreeSource, settings: BuildSettings, compiler: Compiler) -> None:
        self.settings, self.compiler = settings, compiler
        # Debug information has paths relative to the tree, without the locations of the tree and the build.
        self._names = [f"-ffile-prefix-map={HERE}=.", f"-ffile-prefix-map={TREE}/="]
        self._kernel = self._kernel_flags()
        kernel_side, host_side = sorted(NATIVE.glob("glue*.c")), sorted(NATIVE.glob("rt*.c"))
        others = {"nested": NESTED, "tlb": TLB}
        units = {"pgtable": PGTABLE, "mmu": MMU} | {name: path for name, path in others.items() if source.has(path)}
        support = {"rbtree": RBTREE} | ({"interval_tree": INTERVAL_TREE} if source.has(INTERVAL_TREE) else {})
        instrumented = self._instrumentation()
        self.jobs = [
            *(self._kernel_job(file.stem, f"native/{file.name}", instrumented) for file in kernel_side),
            *(
                self._kernel_job(name, f"{TREE}/{path}", [*instrumented, *(_TLB if path == TLB else ())])
                for name, path in reversed(units.items())
            ),
            *(self._kernel_job(name, f"{TREE}/{path}", ()) for name, path in support.items()),
            *(self._host_job(file.stem, f"native/{file.name}") for file in host_side),
        ]
        self.tree = [f"{name}.o" for name in (*units, *support)]
        self.mixed = [f"{file.stem}.o" for file in kernel_side]
        self.host = [f"{file.stem}.o" for file in host_side]
        self.files = {f"{name}.o": path for name, path in units.items()} | {_MAIN_OBJECT: KVM_MAIN}
        # Object -> names in it that stand for the tree's own functions, not for those of native/ that wrap them.
        self._own: dict[str, list[str]] = {"tlb.o": list(_FLUSHES)} if "tlb.o" in self.tree else {}

    def added_job(self, path: str, *, vhe: bool) -> CompilerJob:
        """Return the job that compiles a further file of the tree.

        :param vhe: with the flags of the Makefile for VHE
        """
        name = path.removeprefix(f"{ARM}/").removesuffix(".c").replace("/", "-")
        return self._kernel_job(name, f"{TREE}/{path}", [*self._instrumentation(), *(_TLB if vhe else ())])

    def add(self, job: CompilerJob, path: str, wrapped: Iterable[str]) -> None:
        """Add a further file of the tree, after its job has run.

        :param wrapped: names in it that stand for the tree's own functions, though native/ wraps these
        """
        file = f"{job.name}.o"
        self.tree.append(file)
        self.files[file] = path
        self._own[file] = sorted({*wrapped, *(_FLUSHES if path.startswith(VHE) else ())} - {WALK})

    def _kernel_flags(self) -> list[str]:
        flags = ["-nostdinc", "-isystem", self.compiler.headers()]
        for folder in INCLUDES:
            flags += ["-I", folder]
        for header in FIRST_HEADERS:
            flags += ["-include", f"{TREE}/{header}"]
        flags += [*_KERNEL, *_MISTAKES, *_COMMON, self.settings.optimise]
        if self.compiler.major >= _UNSET_SINCE:
            flags.append(_UNSET + ("pattern" if self.settings.sanitize else "zero"))
        return [*flags, *self._names, f"-DSHIM_GRANULE_SHIFT={self.settings.granule}"]

    def _instrumentation(self) -> list[str]:
        flags: list[str] = []
        if self.settings.coverage:
            flags += _COUNTERS
        if self.settings.sanitize:
            flags += [*_UNDEFINED, "-DSHIM_SANITIZE"]
        if self.settings.plain or self.settings.sanitize:
            flags += [*_PLAIN, "-include", "native/hooks.h"]
        return flags

    def _kernel_job(self, name: str, path: str, more: list[str] | tuple[str, ...]) -> CompilerJob:
        command = [*self.compiler.command, *self._kernel, "-DSHIM_UNIT", *more, "-MD", "-MF", f"{name}.d"]
        return CompilerJob(name, [*command, "-c", path, "-o", f"{name}.o"])

    def _host_job(self, name: str, path: str) -> CompilerJob:
        defined = ["-DSHIM_SANITIZE"] if self.settings.sanitize else []
        defined.append(f"-DSHIM_GRANULE_SHIFT={self.settings.granule}")
        command = [*self.compiler.command, *HOST_FLAGS, *_COMMON, *self._names, *defined, "-I", "native"]
        return CompilerJob(name, [*command, "-c", path, "-o", f"{name}.o"])

    def counted(self) -> tuple[list[str], list[str]]:
        """Return the objects whose functions have counters, if the settings ask for any, and the other objects."""
        counting = [*self.files, *(name for name in self.mixed if name != _MAIN_OBJECT)]
        return counting, [name for name in (*self.tree, *self.host, "stubs.o") if name not in counting]

    def weaken(self) -> CompilerJob:
        """Return the job that makes our models weak: the tree's definition wins, as patches move code between files."""
        script = 'for each; do objcopy --weaken "$each" || exit; done'
        return CompilerJob("weaken", ["sh", "-c", script, "sh", *self.host])

    def wrap_walks(self) -> list[CompilerJob]:
        """Return the jobs that have table walks reported.

        The tree's own `WALK` becomes weak, so that of native/glue_walk.c wins, which calls the original by a second
        name. This includes callers in the same file, since ``-fPIC`` calls go through the symbol. The second name can
        be defined as offset 0 because each function has a section of its own.
        """
        other = f"--add-symbol real_{WALK}=.text.{WALK}:0,function,global"
        script = (
            f'for each; do nm "$each" | grep -q " T {WALK}$" || continue; '
            f'objcopy --weaken-symbol {WALK} {other} "$each" || exit; done'
        )
        return [CompilerJob("walks", ["sh", "-c", script, "sh", *self.tree])]

    def wrap_others(self) -> list[CompilerJob]:
        """Return the jobs that have calls of other functions reported: native/ calls the tree's own by a second name.

        They rename the functions of tlb.c, and those of kvm_main.c in a further file. glue.c renames those in
        kvm_main.c itself.
        """
        return [
            CompilerJob(f"{file}-names", ["objcopy", *(f"--redefine-sym={name}=real_{name}" for name in names), file])
            for file, names in self._own.items()
            if names
        ]

    def wrap_memory(self) -> list[CompilerJob]:
        """Return the jobs that redirect kernel code from libc functions that take addresses to our wrappers."""
        called = _WRITING + _READING if self.settings.sanitize else _WRITING
        names = " ".join(f"--redefine-sym {name}=shim_{name}" for name in called)
        script = f'for each; do objcopy {names} "$each" || exit; done'
        return [CompilerJob("check", ["sh", "-c", script, "sh", *self.tree, *self.mixed])]

    def stubs(self) -> CompilerJob:
        """Return the job that compiles ``stubs.c``."""
        flags = [*_STUBS, *_COMMON, *self._names]
        return CompilerJob("stubs", [*self.compiler.command, *flags, "-c", "stubs.c", "-o", "stubs.o"])

    def link(self, library: str, *, stubs: bool) -> CompilerJob:
        """Return the job that links all objects; without *stubs*, symbols may be missing."""
        flags = ["-Wl,-z,defs", "stubs.o"] if stubs else []
        flags += [f"-Wl,-T,{COUNTERS_SCRIPT}", f"-Wl,-Map,{library}.map"] if self.settings.coverage else []
        command = [*self.compiler.command, "-shared", "-Wl,-Bsymbolic", "-Wl,-z,now", "-o", library]
        return CompilerJob("link", [*command, *self.tree, *self.mixed, *self.host, *flags])

    def sections(self, driver: str) -> CompilerJob:
        """Return the job that links again to have the linker report unreferenced sections.

        :param driver: a version script that exports the functions that the driver calls
        """
        flags = [f"-Wl,--version-script={driver}", "-Wl,--gc-sections", "-Wl,--print-gc-sections"]
        return CompilerJob("sections", [*self.link("sections.so", stubs=True).command, *flags])
