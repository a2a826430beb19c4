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

from ..distribution import BrokenCandidateError, ForeignPackageError, check_candidates, check_packages, debugging
from ..exit_codes import BAD_INPUT, HUNG_UP, INTERRUPTED, NO_VERDICT, OUR_MISTAKE, PIPE_CLOSED
from ..processes.signals import exit_code, like_ctrl_c
from ..processes.starting import NoProcessError
from .arguments import DEFAULT_SECONDS, parser
from .failures import failure, report_failure


def dispatch(arguments: Namespace) -> int:
    """Run the command.

    :returns: the exit code
    :raises ForeignPackageError: a package of ours is another's
    :raises BrokenCandidateError: a candidate cannot be imported
    """
    check_packages()
    check_candidates()
    import candidate
    from candidate.tree import TreeError

    from ..compilation import build
    from ..engines.supervisor import EngineKilledError
    from ..execution.mistakes import CandidateMistake
    from ..hardware.qemu import QemuError
    from ..hardware.text import TablesError
    from ..judging.collection import collect_rarely
    from . import benchmark, campaign, commands, convert, corpus, cover, fuzz, hardware, minimize, promote, tree

    if arguments.command == "fuzz" and arguments.programs is None and arguments.seconds is None:
        arguments.seconds = DEFAULT_SECONDS
    command = {
        "list": commands.list_versions,
        "run": commands.run,
        "convert": convert.command,
        "fuzz": fuzz.command,
        "campaign": campaign.command,
        "status": campaign.status,
        "minimize": minimize.command,
        "promote": promote.command,
        "hardware": hardware.check,
        "bench": benchmark.command,
        "build": build.command,
        "corpus": corpus.command,
        "cover": cover.command,
        "tree": tree.command,
    }[arguments.command]
    collect_rarely()
    try:
        return command(arguments)
    except candidate.UnknownCandidate as error:
        commands.complain(unknown(arguments, str(error)))
        return BAD_INPUT
    except commands.BadInputError as error:
        for line in error.args:
            commands.complain(line)
        return BAD_INPUT
    except (build.BuildError, QemuError, TablesError, TreeError) as error:
        commands.complain(str(error))
        return BAD_INPUT
    except (CandidateMistake, candidate.RefusedCandidate) as error:
        return report_failure(arguments, BAD_INPUT, "candidate", error)
    except (commands.NoVerdictError, NoProcessError, EngineKilledError) as error:
        return report_failure(arguments, NO_VERDICT, "no verdict", error)


def unknown(arguments: Namespace, message: str) -> str:
    """What to say of a version that there is none of."""
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
        return parser().parse_args(argv)
    except SystemExit:
        sys.stdout.flush()
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, run; SIGTERM and SIGHUP end that as Ctrl-C does.

    :param argv: arguments; by default those of the process
    :returns: the exit code
    :raises SystemExit: usage that is refused (2), ``--help`` and ``--version`` (0)
    """
    with like_ctrl_c():
        code = run(argv)
        return exit_code() if code == INTERRUPTED else code


def run(argv: Sequence[str] | None) -> int:
    """As `main`, whatever signal interrupts it."""
    if sys.stderr is None:
        # print() would write what is meant for it to stdout.
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        print("s2fuzz: cannot write the answer: stdout is closed", file=sys.stderr)
        return BAD_INPUT
    # What the encoding of a locale lacks must not end us.
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
