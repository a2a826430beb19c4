# SPDX-License-Identifier: GPL-2.0-only
"""The console script: runs a command and turns every error into one line.

What the commands need is imported after `check_packages` only: a foreign
package of the same name would fail in strange ways.
"""

import io
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from ..distribution import (
    BrokenCandidateError,
    ForeignPackageError,
    check_candidates,
    check_packages,
    debugging,
    home_folder,
)
from ..exit_codes import BAD_INPUT, HUNG_UP, INTERRUPTED, NO_VERDICT, OUR_MISTAKE, PIPE_CLOSED
from ..processes.signals import exit_code, in_order
from ..processes.starting import NoProcessError
from .failures import failure, report_failure
from .messages import BadInputError, NoVerdictError, complain
from .options import pin_commits, sanitize_trees
from .registry import COMMANDS, make_parser


def dispatch(arguments: Namespace) -> int:
    """Run the command.

    :returns: the exit code
    :raises ForeignPackageError: a package of ours is another's
    :raises BrokenCandidateError: a candidate cannot be imported
    """
    name_files(arguments)
    check_packages()
    check_candidates()
    import candidate
    from candidate.tree import TreeError

    from ..execution.mistakes import CandidateMistake
    from ..judging.collection import collect_rarely

    collect_rarely()
    try:
        pin_commits(arguments)
        if getattr(arguments, "sanitize", False) and hasattr(arguments, "candidate"):
            sanitize_trees(arguments)
        return COMMANDS[arguments.command].action(arguments)
    except candidate.UnknownCandidate as error:
        complain(unknown(arguments, str(error)))
        return BAD_INPUT
    except BadInputError as error:
        for line in error.args:
            complain(line)
        return BAD_INPUT
    except (CandidateMistake, candidate.RefusedCandidate, TreeError) as error:
        return report_failure(arguments, BAD_INPUT, "candidate", error)
    except (NoVerdictError, NoProcessError) as error:
        return report_failure(arguments, NO_VERDICT, "no verdict", error)


def name_files(arguments: Namespace) -> None:
    """Name files among the versions in the environment: the first import looks for a compiled form that has them."""
    names = [getattr(arguments, option, None) for option in ("candidate", "reference")]
    files = [name for name in names if isinstance(name, str) and ("/" in name or name.endswith(".py"))]
    # As `candidate.registry.files` finds them.
    paths = [name if os.path.exists(name) else home_folder() / name for name in files]
    os.environ.pop("S2FUZZ_FILES", None)
    if paths:
        os.environ["S2FUZZ_FILES"] = os.pathsep.join(os.path.realpath(path) for path in paths)


def unknown(arguments: Namespace, message: str) -> str:
    """Return the message on a version that does not exist."""
    if "'all'" not in message:
        return message
    there = message.partition("; ")[2]
    return f"{arguments.command}: one candidate at a time, `s2fuzz run --candidate all PROGRAM` takes all; {there}"


def discard_output() -> None:
    """Let Python's last flush at exit go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments.

    :raises SystemExit: usage that is refused (2), ``--help`` and ``--version`` (0)
    :raises OSError: their text cannot be written
    """
    try:
        return make_parser().parse_args(argv)
    except SystemExit:
        sys.stdout.flush()
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, run; Ctrl-C, SIGTERM and SIGHUP end that in order.

    :param argv: arguments; by default those of the process
    :returns: the exit code
    :raises SystemExit: usage that is refused (2), ``--help`` and ``--version`` (0)
    """
    with in_order():
        code = run(argv)
        return exit_code() if code == INTERRUPTED else code


def run(argv: Sequence[str] | None) -> int:
    """Do as `main`, whatever signal interrupts it."""
    if sys.stderr is None:
        # print() would write what is meant for it to stdout.
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        print("s2fuzz: cannot write the answer: stdout is closed", file=sys.stderr)
        return BAD_INPUT
    # A character that the encoding of a locale lacks must not end us.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = Namespace()
    try:
        arguments = parse(argv)
        code = dispatch(arguments)
        sys.stdout.flush()
    except BrokenCandidateError as error:
        return report_failure(arguments, BAD_INPUT, "candidate", error)
    except ForeignPackageError as error:
        print(f"s2fuzz: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        # Whoever read has enough.
        discard_output()
        return PIPE_CLOSED
    except OSError as error:
        code, wrong = failure(error)
        discard_output()
        print(f"s2fuzz: {wrong}", file=sys.stderr)
        # A terminal that is gone sends SIGHUP, too.
        return INTERRUPTED if exit_code() == HUNG_UP else code
    except KeyboardInterrupt:
        print("s2fuzz: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if debugging():
            raise
        wrong = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"s2fuzz: a mistake of s2fuzz: {wrong} (S2FUZZ_DEBUG=1 shows where)", file=sys.stderr)
        return OUR_MISTAKE
    return code


if __name__ == "__main__":
    sys.exit(main())
