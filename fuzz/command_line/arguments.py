# SPDX-License-Identifier: GPL-2.0-only
"""The arguments of the command line, with their help."""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from ..distribution import VERSION, form
from ..exit_codes import BAD_INPUT
from ..suggestions import did_you_mean
from .messages import one_line

ENGINES: Final = ("random", "atheris", "hypothesis")

# As `fuzz.findings.accepted` has it, which must not be imported yet.
DEFAULT_FILE: Final = "known-findings.toml"
MAX_SECONDS: Final = 366 * 24 * 3600
MAX_PROGRAMS: Final = 1_000_000_000
MAX_TRANSLATIONS: Final = 1_000_000_000_000
MAX_TRIALS: Final = 1000
MAX_SEED: Final = (1 << 64) - 1
DEFAULT_SECONDS: Final = 30

_ABOUT: Final = """\
Differential fuzzer for KVM/arm64 stage-2 page-table code: random sequences of
guest accesses, host memory management and dirty logging go to a port of the
original kernel code and to a patched version (a candidate); checkers say what
the patch breaks, what it cures, and what was wrong all along.
"""
_CLASSES: Final = """\
classes of findings:
  regression  only the candidate breaks a rule
  divergence  guest or host can tell the two apart, no rule says which is wrong
  common      the reference breaks the rule too
  cured       only the reference breaks it

"""
_EXIT_CODES: Final = """\
exit codes:
    0  no regression and no divergence
    1  some: the candidate is worse, or differs for no known reason
    2  bad usage or input, or a mistake in the candidate's Python; one line on
       stderr says where, and what is allowed
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict available: a process cannot be started, or is killed from outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM, whatever was found before; that is printed
  141  whoever read the output has closed it
"""
_RUN: Final = """\
Run programs on the reference and on candidates, and say what that shows.

example: s2fuzz run findings/rfc-v1/*.s2 --candidate rfc-v1 --trace
"""
_CONVERT: Final = """\
Convert a program from text to the binary records of byte engines, or back.
What does not begin like a text is binary, and every byte string is a program.
Comments get lost, nothing else does.

example: s2fuzz convert crash-0a1b2c -o crash.s2
"""
_FUZZ: Final = """\
Judge programs that an engine makes; report each finding once and keep the
smallest program that shows it. Ctrl-C ends it early, with what was found so
far (exit code 130). Engines: random makes each program anew; atheris, guided by
libFuzzer, makes most of them from those that showed something new.

example: s2fuzz fuzz --candidate rfc-v1 --seconds 60 --seed 1
"""
_MINIMIZE: Final = """\
Shrink a program that shows a finding to the smallest one found that shows the
same: class and signature stay. Fewer operations first, then fewer slots, then
plain settings and low operands. Ctrl-C leaves the best so far (exit code 130).

example: s2fuzz minimize findings/rfc-v1/x.s2 -o x.s2
"""
_PROMOTE: Final = """\
Minimise a program, see what it shows of every version in fresh processes, and
put it with that into corpus/regressions/, where pytest runs it from then on.

example: s2fuzz promote findings/rfc-v1/x.s2 --name block-not-cleaned
"""
_BENCH: Final = """\
Judge a fixed mix of programs: how many a second, where the time goes, whether
memory grows. With --find: how soon engines find planted bugs, each against the
version that the bug is planted in, with two peers: Hypothesis and atheris
without any guidance of ours.

example: s2fuzz bench --find --bug bug-nested-put --seeds 3 --cap 60
"""
_BUILD: Final = """\
Compile the ports, the machine and the checkers with mypyc into build/native/.
From then on they are used, until a source changes; S2FUZZ_PURE=1 in the
environment asks for plain Python. Needs a C compiler, Python's headers and
mypy (pip install -e '.[build]' in the checkout). Results are the same in both forms.
"""
_HARDWARE: Final = """\
Ask QEMU, whose stage-2 walk is another's work, about random and adversarial
tables and about those that the programs of corpus/ make: each read, write and
fetch must come out as in our machine. What does not is shown with the way
through the tables, and saved as a file that asks it again. Needs
qemu-system-aarch64 (Debian: qemu-system-arm); S2FUZZ_QEMU names another.

examples: s2fuzz hardware check --seconds 60 --seed 2
          s2fuzz hardware check findings/hardware/*.tables
"""
_HARDWARE_CODES: Final = """\
exit codes:
    0  no difference
    1  some
    2  bad usage or input, or QEMU is missing, dies or does not answer
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM, whatever was found before; that is printed
"""
_CHOICE: Final = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")
_KEYS: Final = "answer with one JSON object; keys: fuzz/reports/answers.py"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and what may have been meant."""

    given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it; keeps what was given, for `error`."""
        self.given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {one_line(message)}{self.hint(message)} (--help shows what is allowed)\n")

    def hint(self, message: str) -> str:
        """What may have been meant: a command, the value of an option, or an option."""
        choice = _CHOICE.search(message)
        if choice:
            return did_you_mean(choice.group(1), re.findall(r"'([^']*)'", choice.group(2)))
        there = self.options()
        for word in self.given:
            option = word.partition("=")[0]
            if option.startswith("--") and option not in there and (near := did_you_mean(option, there)):
                return f": {option}{near}"
        return ""

    def options(self) -> list[str]:
        """All options that what was given may have, those of its subcommand included."""
        found: list[str] = []
        for action in self._actions:
            found += action.option_strings
            if isinstance(action.choices, dict):
                for name, below in action.choices.items():
                    found += below.options() if name in self.given and isinstance(below, Parser) else []
        return found


class Once(argparse.Action):
    """An option that may be given once: the first of two would go unseen."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        given = namespace.__dict__.setdefault("given", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, "given twice; allowed: one name")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def seconds(text: str) -> float:
    """The value of ``--seconds``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: more than 0, at most {MAX_SECONDS} (366 days)")
    return value


def whole(text: str, least: int, most: int) -> int:
    """A whole decimal number within bounds."""
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not digits or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: a whole number from {least} to {most}")
    return int(text)


def programs(text: str) -> int:
    """The value of ``--programs``."""
    return whole(text, 1, MAX_PROGRAMS)


def translations(text: str) -> int:
    """The value of ``--translations``."""
    return whole(text, 1, MAX_TRANSLATIONS)


def trials(text: str) -> int:
    """The value of ``--seeds`` and ``--workers``."""
    return whole(text, 1, MAX_TRIALS)


def seed(text: str) -> int:
    """The value of ``--seed``."""
    return whole(text, 0, MAX_SEED)


def folder(text: str) -> str:
    """The name of a directory that is written to; an empty one would mean the current directory."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name; allowed: a directory (. is the current one)")
    return text


def parser() -> Parser:
    """All arguments of all commands."""
    # They use what stands above.
    from . import campaign_arguments, corpus_arguments, cover_arguments, tree

    layout = argparse.RawDescriptionHelpFormatter
    top = Parser("s2fuzz", description=_ABOUT, epilog=_EXIT_CODES, formatter_class=layout, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"s2fuzz {VERSION} ({form()})")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, brief: str, description: str, epilog: str = _EXIT_CODES, keys: str = _KEYS) -> Parser:
        made: Parser = commands.add_parser(
            name, help=brief, description=description, epilog=epilog, formatter_class=layout, allow_abbrev=False
        )
        made.add_argument("--json", action="store_true", help=keys)
        return made

    listing = "List the reference and the candidates, with origin."
    versions = command("list", "the versions of the kernel code there are", listing)
    versions.add_argument("--bugs", action="store_true", help="the planted bugs that engines are measured by, instead")

    run = command("run", "judge programs that you have", _RUN, _CLASSES + _EXIT_CODES)
    binary = "a program as text; `s2fuzz convert` makes one of a binary"
    run.add_argument("program", nargs="+", metavar="PROGRAM", help=binary)
    add_versions(run, "a candidate, or all of them (%(default)s)")
    run.set_defaults(candidate="all")
    run.add_argument("--trace", action="store_true", help="show both sides' events side by side, where they matter")
    add_known(run)
    run.add_argument("--cost", action="store_true", help="show what each side cost: flushes, bytes cleaned, ...")

    run.add_argument("--qemu", action="store_true", help="ask QEMU too about the tables, at each quiet point")

    convert = commands.add_parser(
        "convert",
        help="programs from text to binary records and back",
        description=_CONVERT,
        epilog=_EXIT_CODES,
        formatter_class=layout,
        allow_abbrev=False,
    )
    convert.add_argument("file", metavar="FILE", help="the program; - is standard input")
    convert.add_argument("--to", choices=("text", "binary"), help="the form to write (the one that FILE has not)")
    where = "where to (%(default)s: standard output)"
    convert.add_argument("-o", "--output", action=Once, default="-", metavar="OUT", help=where)

    fuzz = command("fuzz", "look for programs that show a difference", _FUZZ, _CLASSES + _EXIT_CODES)
    add_versions(fuzz, "the version to look at; see `s2fuzz list`", required=True)
    fuzz.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="what makes the programs (%(default)s)")
    limit = fuzz.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=seconds, metavar="N", help=f"for so long ({DEFAULT_SECONDS})")
    limit.add_argument("--programs", type=programs, metavar="N", help="so many; finds the same every time")
    fuzz.add_argument("--seed", type=seed, default=1, metavar="S", help="same seed, same programs (%(default)s)")
    out = "where programs are kept, by candidate; one that is there only gives way to a shorter one (%(default)s)"
    fuzz.add_argument("--out", type=folder, action=Once, default="findings", metavar="DIR", help=out)
    add_known(fuzz)

    campaign_arguments.add(command, _CLASSES + _EXIT_CODES)

    minimize = command("minimize", "the smallest program that shows a finding", _MINIMIZE)
    minimize.add_argument("program", metavar="PROGRAM", help=binary)
    _of_finding(minimize)
    where = "where to (PROGRAM with .min before its ending)"
    minimize.add_argument("-o", "--output", action=Once, metavar="OUT", help=where)

    promote = command("promote", "make a finding a regression test", _PROMOTE)
    promote.add_argument("program", metavar="FINDING", help=binary)
    _of_finding(promote)
    promote.add_argument("--name", metavar="NAME", help="of the file, without .s2 (made of the signature)")
    promote.add_argument("--about", metavar="TEXT", help="its first comment: what is wrong, and why (the reason shown)")

    hardware = commands.add_parser(
        "hardware",
        help="check the machine that programs run on",
        description=_HARDWARE,
        epilog=_HARDWARE_CODES,
        formatter_class=layout,
        allow_abbrev=False,
    )
    checks = hardware.add_subparsers(dest="action", required=True, metavar="check")
    check = checks.add_parser(
        "check",
        help="compare our stage-2 walk with QEMU's",
        description=_HARDWARE,
        epilog=_HARDWARE_CODES,
        formatter_class=layout,
        allow_abbrev=False,
    )
    check.add_argument("file", nargs="*", metavar="FILE", help="ask only what these say, as saved in DIR")
    limit = check.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=seconds, metavar="N", help="random tables for so long")
    limit.add_argument("--translations", type=translations, metavar="N", help="so many of random tables (a million)")
    check.add_argument("--seed", type=seed, default=1, metavar="S", help="same seed, same tables (%(default)s)")
    differences = "differences go to DIR/hardware (%(default)s)"
    check.add_argument("--out", type=folder, action=Once, default="findings", metavar="DIR", help=differences)
    check.add_argument("--json", action="store_true", help="answer with one JSON object; keys: fuzz/hardware/report.py")

    bench = command("bench", "measure speed and memory", _BENCH)
    bench.add_argument("--programs", type=programs, metavar="N", help="how many (as many as take about 15 s)")
    _finding(bench)
    scaling = "instead: what a campaign judges with one worker and with one for each core (4 min)"
    bench.add_argument("--campaign", action="store_true", help=scaling)

    build = command("build", "compile what is hot, for speed", _BUILD)
    build.add_argument("--force", action="store_true", help="also where the build that is there still fits")
    corpus_arguments.add(commands)
    cover_arguments.add(commands)
    tree.add(commands)
    return top


def add_known(command: Parser) -> None:
    """Add ``--known``."""
    known = "findings that you know of, as TOML: reported as accepted, and not counted for the exit code"
    command.add_argument("--known", metavar="FILE", help=f"{known} ({DEFAULT_FILE} here, if there is one)")


def _of_finding(command: Parser) -> None:
    """What tells which finding of a program is meant, and how long it may be minimised."""
    said = "what its comments say"
    command.add_argument("--reference", action=Once, metavar="NAME", help=f"what counts as the original ({said})")
    command.add_argument("--candidate", action=Once, metavar="NAME", help=f"the version that shows it ({said})")
    signature = "which finding, with * and ? (the one of its comments, or the weightiest)"
    command.add_argument("--signature", action=Once, metavar="S", help=signature)
    command.add_argument("--seconds", type=seconds, default=60.0, metavar="N", help="minimise for so long (60)")


def _finding(bench: Parser) -> None:
    """What ``--find`` takes."""
    find = "instead: how soon each engine finds planted bugs (`s2fuzz list --bugs`); a few minutes"
    bench.add_argument("--find", action="store_true", help=find)
    bench.add_argument("--full", action="store_true", help="all bugs, 300 s each time: takes hours")
    bench.add_argument("--seeds", type=trials, metavar="N", help="so many trials of each engine with each bug (5)")
    bench.add_argument("--cap", type=seconds, metavar="N", help="seconds that a trial may take (5)")
    bench.add_argument("--workers", type=trials, metavar="N", help="trials at a time (one for each core)")
    bench.add_argument("--bug", action="append", metavar="NAME", help="only this one; may be given again")
    bench.add_argument("--engine", action="append", metavar="NAME", help="only this one; may be given again")


def add_versions(command: Parser, candidate: str, required: bool = False) -> None:
    """Add ``--reference`` and ``--candidate``.

    :param candidate: help for the latter
    """
    reference = "what counts as the original (%(default)s)"
    command.add_argument("--reference", action=Once, default="original", metavar="NAME", help=reference)
    command.add_argument("--candidate", action=Once, required=required, metavar="NAME", help=candidate)
