# SPDX-License-Identifier: GPL-2.0-only
"""The console script: runs a command and turns every error into one line.

Modules that the commands need are imported only after `check_packages`: another project's package of the same name
would fail in confusing ways.
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
from ..processes.standard_files import open_closed
from ..processes.starting import NoProcessError
from .failures import failure, report_failure
from .messages import BadInputError, NoVerdictError, complain
from .options import pin_commits, sanitize_trees
from .registry import COMMANDS, make_parser


def dispatch(arguments: Namespace) -> int:
    """Run the command.

    :returns: the exit code
    :raises ForeignPackageError: one of our packages is shadowed by another project's
    :raises BrokenCandidateError: a candidate cannot be imported
    """
    name_files(arguments)
    check_packages()
    check_candidates()
    import candidate
    from candidate.tree import TreeError
    from candidate.tree.runtime.errors import TreeNotStartedError

    from ..execution.mistakes import CandidateMistakeError
    from ..judging.collection import collect_rarely

    collect_rarely()
    try:
        pin_commits(arguments)
        if getattr(arguments, "sanitize", False) and hasattr(arguments, "candidate"):
            sanitize_trees(arguments)
        return COMMANDS[arguments.command].action(arguments)
    except candidate.UnknownCandidateError as error:
        complain(unknown(arguments, str(error)))
        return BAD_INPUT
    except BadInputError as error:
        for line in error.args:
            complain(line)
        return BAD_INPUT
    except (CandidateMistakeError, candidate.RefusedCandidateError, TreeError) as error:
        return report_failure(arguments, BAD_INPUT, "candidate", error)
    except (NoVerdictError, NoProcessError, TreeNotStartedError) as error:
        return report_failure(arguments, NO_VERDICT, "no verdict", error)


def name_files(arguments: Namespace) -> None:
    """Set S2FUZZ_FILES to the files among the versions: the first import looks for a compiled form with them."""
    names = [getattr(arguments, option, None) for option in ("candidate", "reference")]
    files = [name for name in names if isinstance(name, str) and ("/" in name or name.endswith(".py"))]
    # Resolve names as `candidate.registry.files` does.
    paths = [name if os.path.exists(name) else home_folder() / name for name in files]
    os.environ.pop("S2FUZZ_FILES", None)
    if paths:
        os.environ["S2FUZZ_FILES"] = os.pathsep.join(os.path.realpath(path) for path in paths)


def unknown(arguments: Namespace, message: str) -> str:
    """Return the message about a version that does not exist."""
    if "'all'" not in message:
        return message
    there = message.partition("; ")[2]
    if getattr(arguments, "reference", None) == "all":
        return f"{arguments.command} --reference all: candidates are compared with one version; {there}"
    return f"{arguments.command}: one candidate at a time, `s2fuzz run --candidate all PROGRAM` takes all; {there}"


def discard_output() -> None:
    """Discard Python's last flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(argv: Sequence[str] | None) -> Namespace:
    """Parse the arguments.

    :raises SystemExit: refused usage (2), ``--help`` and ``--version`` (0)
    :raises OSError: help or version cannot be written
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
    :raises SystemExit: refused usage (2), ``--help`` and ``--version`` (0)
    """
    with in_order():
        code = run(argv)
        return exit_code() if code == INTERRUPTED else code


def run(argv: Sequence[str] | None) -> int:
    """Do the work of `main`, under its signal handlers."""
    open_closed()
    if sys.stderr is None:
        # Without a stderr, print() would write messages for it to stdout.
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        print("s2fuzz: cannot write the answer: stdout is closed", file=sys.stderr)
        return BAD_INPUT
    # Escape characters that the locale's encoding lacks, instead of failing.
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
        # The reader of the output needs no more.
        discard_output()
        return PIPE_CLOSED
    except OSError as error:
        code, wrong = failure(error)
        discard_output()
        print(f"s2fuzz: {wrong}", file=sys.stderr)
        # Losing the terminal also causes SIGHUP.
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
