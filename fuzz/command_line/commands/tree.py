# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz tree check``: facts about a kernel tree, whether it builds, and which parts of it no program can reach."""

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...distribution import home_folder
from ...exit_codes import FINE
from ..command import Command
from ..messages import dump
from ..options import add_json
from ..parser import Once, Parser, add_action

if TYPE_CHECKING:
    from candidate.tree.facts import TreeFacts
    from candidate.tree.library import BuiltTree

# Page sizes as users write them -> log2.
GRANULES: Final = {"4K": 12, "16K": 14, "64K": 16}

# The page size of the programs of known bugs.
ASKED: Final = "4K"

_ABOUT: Final = """\
Kernel trees as versions: the stage-2 code of a tree is compiled as it is, with
gcc, for this machine, and runs here. Nothing is configured, and nothing of the
tree is changed.

A tree is somebody's code: scripts of it run when it is built, and its C code runs
when it is fuzzed, with your rights and without a sandbox.
"""
_CHECK: Final = (
    _ABOUT
    + """
`check` prints facts about the tree, builds it (or finds it in the cache,
~/.cache/s2fuzz/trees), and lists what is not modelled and what no operation can
reach. It runs the program of each known bug, which tells whether the
tree has that bug (pages of 4K only), and no other kernel code.
"""
)
# For the headings of symbols that are not modelled.
_NO_VERDICT: Final = "(a program that calls one has no verdict)"
_EXIT_CODES: Final = """\
exit codes:
    0  it builds
    2  bad usage, or a tree that cannot be built; one line on stderr gives the place and a remedy
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
"""


class KnownBugAnswer(NamedTuple):
    """A known bug, and whether a tree has it.

    :param program: the program that shows it, in the checkout
    :param signature: of the violation; "" if there is none
    :param refused: why the program has no verdict, or ""
    :param link: the upstream fix, or ""
    """

    id: str
    program: str
    signature: str
    refused: str
    reason: str
    link: str


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz tree``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="check")
    brief = "print facts, whether it builds, and what is not modelled or not reachable; no fuzzing"
    check = add_action(actions, "check", brief, _CHECK, _EXIT_CODES)
    tree = "the top folder of a Linux tree, which needs no configuration, or FOLDER@COMMIT; the prefix tree: is allowed"
    check.add_argument("tree", metavar="TREE", help=tree)
    pages = "the page size of the host and of stage 2 (%(default)s)"
    check.add_argument("--granule", choices=GRANULES, action=Once, default="4K", help=pages)
    sanitize = "build it with checks of memory and of undefined behaviour, as `fuzz --sanitize` does"
    check.add_argument("--sanitize", action="store_true", help=sanitize)
    add_json(check, "fuzz/command_line/commands/tree.py")


def tree_check(arguments: Namespace) -> int:
    """Build a tree, and print which parts of it can be fuzzed.

    :raises candidate.tree.TreeError: the tree cannot be built
    """
    from candidate.tree import PREFIX, SANITIZE, path_of, source_of
    from candidate.tree.facts import facts
    from candidate.tree.library import make
    from candidate.tree.opening import settings_of

    from ...reports.answers import head

    sanitize = arguments.sanitize or arguments.tree.endswith(SANITIZE)
    version = f"{PREFIX}{path_of(arguments.tree)}{SANITIZE if sanitize else ''}"
    source = source_of(version)
    built = make(source, settings_of(GRANULES[arguments.granule], sanitize))
    bugs = known_bugs_of(version) if arguments.granule == ASKED else []
    found = facts(source, built)
    if arguments.json:
        dump({**head(), **answer(found, built, arguments.granule, bugs)})
    else:
        print(text(found, built, arguments.granule, bugs), end="")
    return FINE


def known_bugs_of(name: str) -> list[KnownBugAnswer]:
    """Return the known bugs, and whether a tree has them, by running the program of each.

    :param name: of the tree, as a version
    :raises candidate.tree.TreeError: the tree cannot be built for pages of 4K, or does not start
    """
    import candidate
    from fuzz.judging.known import known_bugs, program_of
    from fuzz.judging.versions_with_bug import bug_run

    version = candidate.get(name)
    found: list[KnownBugAnswer] = []
    for bug in known_bugs():
        if all(bug.id != each.id for each in found):
            signature, refused = bug_run(version, bug.id)
            program = program_of(bug.id).relative_to(home_folder()).as_posix()
            found.append(KnownBugAnswer(bug.id, program, signature, refused, bug.reason, bug.link))
    return found


def answer(found: "TreeFacts", built: "BuiltTree", granule: str, bugs: Sequence[KnownBugAnswer] = ()) -> dict[str, Any]:
    """Return the keys of ``--json``.

    ``tree``, ``version`` (or null), ``commit`` (or null; a trailing ``+``: with changes), ``files`` (C file ->
    number of lines), ``read`` (number of other files), ``failed`` (C file that the tree may need -> why it does not
    compile here), ``probes``; ``granule``, ``library``, ``cached``, ``seconds``
    (duration of the build, when it was made), ``compiler``; ``symbols`` (class -> names), ``uses`` (unknown symbol ->
    places of the tree that name it), ``defined`` (unknown symbol -> the file of KVM that has it and is not compiled),
    ``idle`` (symbols that nothing can call), ``refused`` (reason -> names, without
    the idle ones); ``features`` (for each ``name``, ``why``)
    and ``functions`` (C file -> names): what no operation can reach. ``bugs``: the known bugs, for each ``id``,
    ``program``, ``signature`` (null: the tree does not have it), ``refused`` (why the program has no verdict, or
    null), ``reason``, ``link`` (the upstream fix, or null); [] if the bugs were not checked.
    """
    from candidate.tree.facts import KINDS

    return {
        "tree": found.tree,
        "version": found.version or None,
        "commit": found.commit or None,
        "files": found.compiled,
        "read": found.read,
        "failed": found.failed,
        "probes": found.probes,
        "granule": granule,
        "library": str(built.library),
        "cached": built.cached,
        "seconds": built.record["seconds"],
        "compiler": built.record["compiler"],
        "symbols": {kind: found.named(kind) for kind in KINDS},
        "uses": found.uses,
        "defined": found.defined,
        "idle": found.idle,
        "refused": found.refused(),
        "features": [{"name": each.name, "why": each.why} for each in found.features],
        "functions": found.unreached,
        "bugs": [
            {
                "id": each.id,
                "program": each.program,
                "signature": each.signature or None,
                "refused": each.refused or None,
                "reason": each.reason,
                "link": each.link or None,
            }
            for each in bugs
        ],
    }


def unknown_text(name: str, uses: Sequence[str], file: str) -> str:
    """Return a line about an unknown symbol, the file of the tree that defines it, and the places that name it.

    :param file: "" if no file is known
    """
    about = [*([f"is in {file}, which is not compiled"] if file else []), *uses]
    return f"{name}: {'; '.join(about)}" if about else name


def text(found: "TreeFacts", built: "BuiltTree", granule: str, bugs: Sequence[KnownBugAnswer] = ()) -> str:
    """Return the answer for people."""
    title = f"{found.tree}: " + (
        f"Linux {found.version}, according to its Makefile" if found.version else "a tree without a version"
    )
    if found.commit:
        commit, plus = found.commit.rstrip("+"), found.commit.endswith("+")
        title += f"; commit {commit[:12]}{', with local changes' if plus else ''}"
    files = [f"{path}, {lines} lines" for path, lines in found.compiled.items()]
    took = "found in the cache" if built.cached else f"{built.record['seconds']:.1f} s"
    unknown = [unknown_text(name, uses, found.defined.get(name, "")) for name, uses in found.uses.items()]
    sections = [
        ("compiled", [*files, f"and {found.read} other files of the tree that the build read"]),
        ("optional features", features(found)),
        ("builds", [f"yes, {granule} pages, {built.record['compiler']}, {took}", str(built.library)]),
        ("external symbols", [counted(found)]),
        (f"unknown {_NO_VERDICT}", unknown or ["none"]),
        *(
            [("needed, but does not compile here", [f"{path}: {why}" for path, why in found.failed.items()])]
            if found.failed
            else []
        ),
        (f"refused {_NO_VERDICT}", [f"{why}: {' '.join(names)}" for why, names in found.refused().items()]),
        ("no operation reaches", [f"{each.name}: {each.why}" for each in found.features]),
        (
            "functions that no operation can call",
            [uncalled(path, names) for path, names in found.unreached.items() if names],
        ),
    ]
    if bugs:
        sections.append(("known bugs", bug_lines(bugs)))
    lines = [title]
    for name, items in sections:
        lines += [f"{name}:", *(f"    {item}" for item in items)]
    return "\n".join(lines) + "\n"


def features(found: "TreeFacts") -> list[str]:
    """Return one line with the optional parts of KVM that this tree has."""
    return [", ".join(found.optional()) or "none of those that came after Linux 5.12"]


def bug_lines(bugs: Sequence[KnownBugAnswer]) -> list[str]:
    """Return lines on the known bugs that a tree has, with their programs, and on those that it does not have."""
    lines = [
        f"has {each.id}: {each.reason}{f' Fixed upstream: {each.link}.' if each.link else ''} [{each.program}]"
        for each in bugs
        if each.signature
    ]
    lines += [
        f"no verdict on {' '.join(each.id for each in bugs if each.refused == reason)}: {reason}"
        for reason in dict.fromkeys(each.refused for each in bugs if each.refused)
    ]
    missing = " ".join(each.id for each in bugs if not each.signature and not each.refused)
    return lines + ([f"does not show {missing}"] if missing else [])


def counted(found: "TreeFacts") -> str:
    """Return the number of symbols of each class."""
    from candidate.tree.facts import KINDS

    words = {"library": "from the C library", "zero": "zeroed data"}
    return ", ".join(f"{len(found.named(kind))} {words.get(kind, kind)}" for kind in KINDS)


def uncalled(path: str, names: list[str]) -> str:
    """Return the functions of a file that nothing can call; for ``kvm_main.c``, mostly unrelated, their number."""
    if path.startswith("virt/"):
        return f"{path}: {len(names)} (`--json` names them)"
    return f"{path}: {' '.join(names)}"


COMMAND: Final = Command(
    "tree",
    "check which parts of a kernel tree can be fuzzed",
    _ABOUT,
    add_arguments,
    tree_check,
    ("s2fuzz tree check ../linux",),
    _EXIT_CODES,
    keys="",
)
