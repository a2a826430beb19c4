# SPDX-License-Identifier: GPL-2.0-only
"""Compiles the unmodified stage-2 code of a kernel tree for this machine, into a shared library.

The tree's ``pgtable.c``, ``mmu.c`` and ``kvm_main.c`` are compiled with the tree's own headers. So are ``nested.c``,
``vhe/tlb.c``, ``dirty_ring.c`` and ``guest_memfd.c`` if the tree has them, and ``rbtree.c`` and ``interval_tree.c``,
which they use. So are further files that define what these need (`candidate.tree.building.added`).
Headers in native/shim/ take precedence over the tree's where those would reach arm64 assembly.
No file of the tree is changed or copied. The build runs the tree's scripts that generate headers.
"""

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .building import cache, callgraph, counters, digests, headers, probes, stack, symbols
from .building.added import add_files
from .building.cache import folder
from .building.compiler import CompileFailedError, Compiler, CompilerJob, run_all
from .building.dependencies import record_reads
from .building.errors import TreeError
from .building.objects import ObjectCache
from .building.plan import GENERATED, NATIVE, PROBES, TREE, BuildPlan, BuildSettings
from .building.source import DIRTY_RING, GUEST_MEMFD, KVM_MAIN, MMU, NESTED, PGTABLE, TLB, TreeSource
from .building.wrong import compile_message, missing_message

__all__ = ["BuiltTree", "TreeError", "build", "folder", "is_built", "look_up", "make"]

_MACHINES: Final = ("x86_64", "amd64")
# The files in which trees differ most often.
_FIRST: Final = (PGTABLE, MMU, NESTED, TLB, KVM_MAIN)


@dataclass(frozen=True)
class BuiltTree:
    """A library and the record of its build.

    :param library: its path
    :param record: ``probes`` (names), ``symbols`` (name -> class of `candidate.tree.building.symbols`), ``idle``
        (symbols that no request of the driver can reach), ``unreached`` (file -> functions, likewise), ``added``,
        ``failed``, ``passed`` (``compiled``, ``failed`` and ``passed`` of `candidate.tree.building.added.AddedFiles`),
        ``compiler``, ``seconds`` that the build took, ``files`` (path -> digest), ``absent``
    :param cached: the library was in the cache
    """

    library: Path
    record: dict[str, Any]
    cached: bool

    @property
    def entry(self) -> str:
        """Return the name of its cache entry, which changes with the sources, the settings and the compiler."""
        return self.library.parent.name


def build(
    tree: Path,
    *,
    granule: int = 12,
    sanitize: bool = False,
    coverage: bool = False,
    optimise: str = "-O1",
    plain: bool = False,
) -> Path:
    """Return the shared library of a tree; compile it unless the cache has it.

    :param tree: top folder of a Linux tree
    :param granule: log2 of the page size in bytes: 12, 14 or 16
    :param sanitize: a use after free, an access out of bounds or undefined behaviour ends the call
    :param coverage: count how often the code of kernel files runs
    :param optimise: ``-O1`` or ``-O2``
    :param plain: plain loads and stores of table entries call ``__tsan_read8`` and the like
    :raises TreeError: the tree cannot be built; the message is one line
    :raises ValueError: there is no such granule, or the options contradict each other
    """
    return make(TreeSource(tree), BuildSettings(granule, sanitize, coverage, optimise, plain)).library


def make(source: TreeSource, settings: BuildSettings) -> BuiltTree:
    """Build a tree as `build` does, and return the library with its record.

    :raises TreeError: the tree cannot be built; the message is one line
    """
    if platform.machine() not in _MACHINES:
        raise TreeError(f"a kernel tree runs on x86-64 only, and this machine is {platform.machine()}")
    compiler = Compiler()
    start = cache.prefix(settings, compiler)
    entry = cache.look_up(source, start)
    if entry is None:
        with cache.building(source, start, _FIRST) as work:
            # Another process may have built it while this one waited.
            entry = cache.look_up(source, start)
            if entry is None:
                return _compile(source, settings, compiler, start, work)
    return BuiltTree(entry / cache.LIBRARY, cache.read(entry), cached=True)


def look_up(source: TreeSource, settings: BuildSettings) -> BuiltTree | None:
    """Return the library of a tree if the cache has it.

    :raises TreeError: there is no compiler, or no such tree
    :raises OSError, ValueError: the record of the build cannot be read
    """
    entry = cache.look_up(source, cache.prefix(settings, Compiler()))
    return BuiltTree(entry / cache.LIBRARY, cache.read(entry), cached=True) if entry is not None else None


def is_built(source: TreeSource, settings: BuildSettings) -> bool:
    """Return whether the cache has the library.

    :raises TreeError: there is no compiler, or no such tree
    """
    return cache.look_up(source, cache.prefix(settings, Compiler())) is not None


def _compile(source: TreeSource, settings: BuildSettings, compiler: Compiler, start: str, work: Path) -> BuiltTree:
    """Compile in the folder *work*, and publish the result in the cache.

    :raises TreeError: the tree cannot be built
    """
    began = time.perf_counter()
    declared = probes.found(source)
    # Report a mistake in symbols.toml before anything is compiled.
    symbols.listed()
    try:
        _lay_out(source, declared, work)
        plan = BuildPlan(source, settings, compiler)
        kept = ObjectCache(source, start, work)
        jobs = [job for job in plan.jobs if not kept.take(job)]
        done: list[CompilerJob] = []
        try:
            run_all(jobs, work, done)
        finally:
            # The next build reuses these objects, even if other files failed to compile.
            kept.keep(done)
        added = add_files(source, plan, kept, work, lambda failed: compile_message(source, failed, declared))
        record_reads(source, work)
        run_all([plan.weaken(), *plan.wrap_walks(), *plan.wrap_others()], work)
        run_all(plan.wrap_memory(), work)
        run_all([plan.link("partial.so", stubs=False)], work)
        outside = symbols.outside(work, plan.tree, plan.mixed, plan.host, "partial.so")
        if outside.lacking:
            raise TreeError(missing_message(source, outside.lacking, added.failed))
        (work / "stubs.c").write_text(symbols.stubs(outside))
        run_all([plan.stubs()], work)
        (work / "driver.map").write_text(callgraph.DRIVER)
        run_all([plan.link(cache.LIBRARY, stubs=True), plan.sections("driver.map")], work)
        if settings.coverage:
            counters.unlock(work, cache.LIBRARY)
            (work / cache.LINES).write_text(counters.table(work, cache.LIBRARY))
            (work / cache.DIGESTS).write_text(digests.table(work, *plan.counted()))
        if settings.plain and not settings.sanitize:
            stack.remove_calls(work, cache.LIBRARY)
        dropped = callgraph.dropped((work / "sections.stderr").read_text(errors="replace"))
    except CompileFailedError as failed:
        raise TreeError(compile_message(source, failed, declared)) from None
    except OSError as error:
        wanted = "use a cache folder that can be written and has room (XDG_CACHE_HOME names it)"
        raise TreeError(f"cannot build in {work.parent}: {error.strerror or error}; {wanted}") from None
    record = {
        "probes": declared,
        "symbols": outside.kinds,
        "idle": dropped.get("stubs.o", []),
        "unreached": {path: dropped.get(file, []) for file, path in plan.files.items()},
        "added": added.compiled,
        "failed": added.failed,
        "passed": added.passed,
        "compiler": compiler.version,
        "seconds": round(time.perf_counter() - began, 2),
    }
    first = [path for path in _FIRST if path in source.files]
    entry = cache.publish(work, source, start, record, first)
    return BuiltTree(entry / cache.LIBRARY, cache.read(entry), cached=False)


def _lay_out(source: TreeSource, declared: list[str], work: Path) -> None:
    """Write what the compiler reads: links to the tree and to native/, generated headers, probes."""
    (work / TREE).symlink_to(source.root)
    (work / "native").symlink_to(NATIVE)
    for name, text in headers.generated(source).items():
        path = work / GENERATED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    macros = "".join(f"#define {name} 1\n" for name in declared)
    files = {"KVM_MAIN_C": KVM_MAIN, "DIRTY_RING_C": DIRTY_RING, "GUEST_MEMFD_C": GUEST_MEMFD}
    included = "".join(f"#define {name} <{Path(path).name}>\n" for name, path in files.items())
    names = "".join(f"#define {name} {member}\n" for name, member in probes.members(source).items())
    (work / PROBES).write_text(f"{included}{macros}{names}")
