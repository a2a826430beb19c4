# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz corpus``: a collection of programs, each kept once."""

import hashlib
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...exit_codes import BAD_INPUT, FINE, INTERRUPTED, OUR_MISTAKE
from ..command import Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import add_json, add_workers
from ..parser import Once, Parser, add_action
from ..values import folder

if TYPE_CHECKING:
    from ...corpus import BadFile, Corpus
    from ...corpus.minimize import ReducedCorpus
    from ...language.program import Program

DEFAULT: Final = "programs"
_DIGEST: Final = re.compile(r"[0-9a-f]{4,64}")
_ABOUT: Final = """\
Keep programs as text in a folder, each once, named by its content. Any number of
processes may use the folder at once.

A file that does not belong there is reported in one line, and moved to the subfolder
aside/ with a file that gives the reason; the work continues.
"""
_EXIT_CODES: Final = f"""\
exit codes:
    0  done
    {BAD_INPUT}  bad usage, a given file that is not a program, or a folder that cannot be written
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM; completed work is kept
"""
_MINIMIZE: Final = """\
Remove programs whose features other programs cover: the rest covers the same
features, small programs are preferred, and none is redundant. Features depend on the
two versions and on the sources. Observations are kept beside the programs: after an
interruption or a kill, the same command resumes. Programs that are added meanwhile
stay.
"""
_ACTIONS: Final = {
    "add": ("add programs", "Add programs, as text or binary records.", "a program, a folder of programs, or -"),
    "merge": ("merge other corpora", "Add the programs of other corpora.", "a corpus"),
    "import": (
        "import a libFuzzer directory",
        "Add the programs of libFuzzer directories: each file is one program.",
        "a directory with a program in each file",
    ),
}


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz corpus``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, brief: str, description: str) -> Parser:
        made = add_action(actions, name, brief, description, _EXIT_CODES)
        where = "the corpus (%(default)s)"
        made.add_argument("--corpus", type=folder, action=Once, default=DEFAULT, metavar="DIR", help=where)
        add_json(made)
        return made

    for name, (brief, description, source) in _ACTIONS.items():
        made = action(name, brief, description)
        made.add_argument("source", nargs="+", metavar="FILE" if name == "add" else "DIR", help=source)
    show = action("show", "show what is in a corpus, or one program", "Show what is in a corpus, or one program of it.")
    what = "another corpus, or the digest of a program (at least 4 leading digits)"
    show.add_argument("what", nargs="?", metavar="DIR|DIGEST", help=what)
    export = action("export", "write a directory for libFuzzer", "Write all programs as binary records, for libFuzzer.")
    export.add_argument("target", type=folder, metavar="DIR", help="a directory; created if it does not exist")
    minimize = action("minimize", "remove redundant programs", _MINIMIZE)
    reference = "the version that the candidate is compared with (%(default)s)"
    minimize.add_argument("--reference", action=Once, default="original", metavar="NAME", help=reference)
    minimize.add_argument("--candidate", action=Once, required=True, metavar="NAME", help="the version under test")
    add_workers(minimize)
    minimize.add_argument("--dry-run", action="store_true", help="report what would be removed, and remove nothing")


def corpus(arguments: Namespace) -> int:
    """Run one of the actions.

    :raises BadInputError: a folder is no corpus, or cannot be written
    :raises candidate.UnknownCandidateError: no version with this name
    """
    from ...corpus import CorpusError

    action: Callable[[Namespace], int] = {
        "add": add_programs,
        "merge": add_programs,
        "import": add_programs,
        "show": show,
        "export": export,
        "minimize": minimize_command,
    }[arguments.action]
    try:
        return action(arguments)
    except CorpusError as error:
        raise BadInputError(str(error)) from None


def answer(arguments: Namespace, words: str, **values: Any) -> None:
    """Print the answer in words or as JSON."""
    from ...reports import answers

    if arguments.json:
        dump({**answers.head(), **values})
    else:
        print(words)


def sources(arguments: Namespace, tell: "Callable[[BadFile], None]") -> "Iterator[tuple[str, Program]]":
    """Yield the programs to be added.

    :raises CorpusError: a folder is missing, or not of the requested kind
    """
    from ...corpus import CorpusError
    from ...corpus.folder import is_corpus
    from ...corpus.gathering import binaries, gather, of_corpus
    from ...language.text import shown_name

    for name in arguments.source:
        if arguments.action == "add":
            yield from gather(name, tell)
        elif arguments.action == "import":
            yield from binaries(name, tell)
        elif "\0" in name or not is_corpus(Path(name)):
            wanted = "a corpus (`s2fuzz corpus add` accepts other folders)"
            raise CorpusError(f"{shown_name(name)}: not a corpus; name {wanted}")
        else:
            yield from of_corpus(Path(name), tell)


def add_programs(arguments: Namespace) -> int:
    """Run ``s2fuzz corpus add``, ``merge`` or ``import``."""
    from ...corpus import Corpus
    from ...corpus.folder import digest_of
    from ...language.text import print_program

    corpus = Corpus(arguments.corpus)
    refused: list[str] = []

    def tell(bad: "BadFile") -> None:
        refused.append(f"{bad.path}: {bad.reason}")
        complain(refused[-1])

    added: list[str] = []
    there = 0
    for _, program in sources(arguments, tell):
        new = digest_of(print_program(program)) not in corpus
        digest = corpus.add(program)
        if new:
            added.append(digest)
        there += not new
    text = f"{arguments.corpus}: {len(added)} added, {there} already there"
    if refused:
        text += f", {len(refused)} refused"
    answer(arguments, text, corpus=arguments.corpus, added=added, there=there, refused=refused)
    return BAD_INPUT if refused and arguments.action == "add" else FINE


def report_aside(corpus: "Corpus") -> list[str]:
    """Print a line on stderr for each file in the corpus that is not a program, and return the lines."""
    lines = [str(bad) for bad in corpus.aside]
    for line in lines:
        complain(line)
    return lines


def show(arguments: Namespace) -> int:
    """Run ``s2fuzz corpus show``."""
    from ...corpus import Corpus
    from ...corpus.observation_cache import seen_features
    from ...corpus.statistics import as_text, statistics

    what = arguments.what
    if what and _DIGEST.fullmatch(what) and not Path(what).is_dir():
        return show_program(arguments, Corpus(arguments.corpus, change=False), what)
    folder = what or arguments.corpus
    corpus = Corpus(folder, change=False)
    found = statistics(program for _, program in corpus.programs())
    seen = seen_features(corpus)
    bad = [str(each) for each in corpus.aside]
    answer(
        arguments,
        as_text(folder, found, seen, bad),
        corpus=folder,
        programs=len(found.lengths),
        operations={"all": found.operations, "median": found.median, "most": found.longest},
        bytes=found.size,
        kinds={kind: {"operations": count, "programs": within} for kind, (count, within) in found.kinds.items()},
        absent=found.absent(),
        settings={name: dict(sorted(values.items())) for name, values in found.settings.items()},
        features=[each._asdict() for each in seen],
        bad=bad,
    )
    return FINE


def show_program(arguments: Namespace, corpus: "Corpus", prefix: str) -> int:
    """Print one program as text that can be run."""
    from ...language.text import print_program

    matches = [digest for digest in corpus.digests() if digest.startswith(prefix)]
    if len(matches) != 1:
        wrong = f"{len(matches)} programs begin with {prefix}" if matches else f"no program begins with {prefix}"
        raise BadInputError(f"{arguments.corpus}: {wrong}; give a digest, or the leading digits of exactly one")
    try:
        program = corpus.get(matches[0])
    except KeyError:
        raise BadInputError(f"{corpus.aside[0]}; fix or remove it") from None
    text = print_program(program)
    path = str(corpus.path(matches[0]))
    head = f"# {path}\n# {len(program.operations)} operations\n"
    answer(arguments, head + text.rstrip("\n"), digest=matches[0], file=path, text=text)
    return FINE


def export(arguments: Namespace) -> int:
    """Run ``s2fuzz corpus export``."""
    from ...corpus import Corpus
    from ...files import write_atomically
    from ...language.binary import encode
    from ...language.text import shown_name

    corpus = Corpus(arguments.corpus, change=False)
    target = Path(arguments.target)
    if target.resolve().is_relative_to(Path(arguments.corpus).resolve()):
        # Its readers would move the files aside.
        raise BadInputError(f"{shown_name(target)}: in the corpus itself; name a directory outside of it")
    written = there = 0
    try:
        target.mkdir(parents=True, exist_ok=True)
        for _, program in corpus.programs():
            data = encode(program)
            # libFuzzer names the files of its corpus like this.
            path = target / hashlib.sha1(data, usedforsecurity=False).hexdigest()
            if path.exists():
                there += 1
            else:
                write_atomically(path, data)
                written += 1
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        wanted = "a directory that can be created and written, with free space"
        raise BadInputError(f"{shown_name(target)}: {wrong}; name {wanted}") from None
    bad = report_aside(corpus)
    text = f"{arguments.target}: {written} written, {there} already there"
    answer(arguments, text, corpus=arguments.corpus, target=arguments.target, written=written, there=there, bad=bad)
    return FINE


class ObservingProgress:
    """The number of observed programs, on one line of stderr.

    :param shown: whether the line is printed
    """

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self.text = "0 of 0 programs observed"

    def tell(self, done: int, total: int) -> None:
        """Record and print the numbers."""
        self.text = f"{done} of {total} programs observed"
        if self.shown:
            print(f"\r\x1b[K{self.text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def minimize_command(arguments: Namespace) -> int:
    """Run ``s2fuzz corpus minimize``.

    :raises BadInputError: the corpus or a version cannot be used
    """
    import candidate

    from ...corpus import Corpus
    from ...corpus.minimize import minimize
    from ...corpus.observing import ObservingError

    reference = candidate.get(arguments.reference).name
    candidate_name = candidate.get(arguments.candidate).name
    # Do not create a missing corpus: its name may be mistyped.
    corpus = Corpus(arguments.corpus, change=False)
    corpus.change = not arguments.dry_run
    say_form(arguments)
    progress = ObservingProgress(shown=sys.stderr.isatty() and not arguments.json)
    try:
        done = minimize(
            corpus, reference, candidate_name, arguments.workers, arguments.dry_run, progress.tell, complain
        )
    except ObservingError as error:
        complain(str(error))
        return OUR_MISTAKE
    except KeyboardInterrupt:
        complain(f"interrupted, {progress.text}; the same command resumes")
        return INTERRUPTED
    finally:
        progress.clear()
        bad = report_aside(corpus)
    answer_minimized(arguments, corpus, done, (reference, candidate_name), bad)
    return FINE


def answer_minimized(
    arguments: Namespace, corpus: "Corpus", done: "ReducedCorpus", versions: tuple[str, str], bad: list[str]
) -> None:
    """Report the programs that were removed, and those that were kept because of a trouble.

    :param versions: names of the reference and of the candidate
    :param bad: as from `report_aside`
    """
    for each in done.troubled:
        complain(f"{corpus.path(each.digest)}: kept, because its features cannot be observed: {each.trouble}")
    verb = "would be removed" if arguments.dry_run else "removed"
    text = (
        f"{arguments.corpus}: {len(done.removed)} of {done.before} programs {verb}, {done.after} left, "
        f"with {done.operations_after} of {done.operations_before} operations and all {done.features} features"
    )
    answer(
        arguments,
        text,
        corpus=arguments.corpus,
        reference=versions[0],
        candidate=versions[1],
        dry_run=arguments.dry_run,
        programs={"before": done.before, "after": done.after},
        operations={"before": done.operations_before, "after": done.operations_after},
        observed=done.observed,
        features=done.features,
        removed=done.removed,
        troubled={each.digest: each.trouble for each in done.troubled},
        bad=bad,
    )


COMMAND: Final = Command(
    "corpus", "keep programs, each once", _ABOUT, add_arguments, corpus, epilog=_EXIT_CODES, keys=""
)
