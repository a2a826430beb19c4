# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz real``: programs on a real kernel."""

import time
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...exit_codes import BAD_INPUT, FINE, INTERRUPTED, NO_VERDICT, WORSE
from ..command import Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import BINARY, add_differences, add_json
from ..parser import Once, Parser, add_action
from ..values import programs, seconds

if TYPE_CHECKING:
    from candidate import Candidate

    from ...language.program import Program
    from ...real.check import RealCheck
    from ...real.run import RealRun
    from ...real.session import RealSession
    from ...real.stream import StreamWitness

_ABOUT: Final = """\
Play programs on Linux itself: a kernel for arm64 runs under QEMU, which
emulates EL2, and its KVM runs VMs. Outcomes are compared with those of the
model, and each finding of the model gets a stamp: confirmed, not confirmed, or
the reason why it could not be decided. `make real` fetches what this needs.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  the kernel behaves as the model predicts, and no problem is seen
    1  a finding is confirmed, the kernel complains, or its outcomes differ
    2  bad usage or input; kernel, QEMU or cross compiler are missing, QEMU dies
       or does not answer
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict: user space cannot play any part of a program
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
"""
_CHECK: Final = """\
Play the programs of corpus/, then random ones, on a real kernel and on its
model, one after another on one machine. Outcomes, and complaints of the kernel,
must be as the model predicts. A program that differs is saved as a file, which
`s2fuzz real run` plays.
"""
_CHECK_CODES: Final = _EXIT_CODES.replace(
    """\
    0  the kernel behaves as the model predicts, and no problem is seen
    1  a finding is confirmed, the kernel complains, or its outcomes differ
""",
    """\
    0  the kernel behaves as the model predicts; findings that it confirms are counted
    1  its outcomes differ, or it complains of something that the model does not predict
""",
).replace("or does not answer\n", "or does not answer; the results so far are printed\n")
_KEYS: Final = "fuzz/real/run.py"


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz real``."""
    parts = parser.add_subparsers(dest="action", required=True, metavar="run|check")
    run = add_action(parts, "run", "play given programs", COMMAND.text(), _EXIT_CODES)
    check = add_action(parts, "check", "play random programs on model and kernel", _CHECK, _CHECK_CODES)
    limit = check.add_mutually_exclusive_group()
    limit.add_argument(
        "--seconds", type=seconds, default=60.0, metavar="N", help="time for random programs, in seconds (60)"
    )
    limit.add_argument("--programs", type=programs, metavar="N", help="number of random programs")
    add_differences(check, "programs", "real")
    add_kernel(check)
    add_json(check, "fuzz/real/check.py")
    run.add_argument("program", nargs="+", metavar="PROGRAM", help=BINARY)
    add_kernel(run)
    add_json(run, _KEYS)


def add_kernel(parser: Parser) -> None:
    """Add ``--kernel``, ``--append``, ``--model`` and ``--tables``."""
    kernel = "a fetched kernel, by a prefix of its version, or the path of an Image (the newest fetched kernel)"
    parser.add_argument("--kernel", action=Once, default="", metavar="6.12|PATH", help=kernel)
    append = (
        "additional kernel parameters, such as kvm-arm.mode=nvhe; the kernel is booted and saved anew for each value"
    )
    parser.add_argument("--append", action=Once, default="", metavar="WORDS", help=append)
    model = "the version to compare with (the tree of the kernel's version, if available, else the port v5.14)"
    tables = "also compare the stage-2 tables after each operation"
    parser.add_argument("--tables", action="store_true", help=tables)
    parser.add_argument("--model", action=Once, default="", metavar="NAME", help=model)


def real(arguments: Namespace) -> int:
    """Play programs.

    :raises BadInputError: a program cannot be read; something is missing, died, or does not answer
    """
    from ...real.errors import RealError

    try:
        return check(arguments) if arguments.action == "check" else play(arguments)
    except RealError as error:
        raise BadInputError(str(error)) from None


def play(arguments: Namespace) -> int:
    """Do the work of `real`; may also raise RealError."""
    import candidate

    from ...real.kernels import find
    from ...real.model import model_for
    from ...real.session import RealSession
    from ...real.stream import StreamWitness
    from ...reports import answers
    from ..inputs import read_programs

    programs = read_programs(arguments.program)
    kernel = find(arguments.kernel)
    if arguments.model:
        # Refuse it before anything boots.
        candidate.get(arguments.model)
    runs: list[RealRun] = []
    unplayed: dict[str, str] = {}
    witness = StreamWitness(kernel, arguments.append, complain)
    with RealSession(kernel, arguments.append, complain) as session:
        version = candidate.get(arguments.model or model_for(session.release))
        for file, program in programs:
            play_one(session, version, file, program, arguments.tables, runs, unplayed)
            if runs and runs[-1].file == file:
                runs[-1] = stamp_one(session, witness, version, program, runs[-1])
            if runs and runs[-1].file == file and not arguments.json:
                print(runs[-1].text(), end="", flush=True)
    for file, reason in unplayed.items():
        complain(f"{file}: not played: {reason}")
    if arguments.json:
        head = {**answers.head(), "programs": [each.answer() for each in runs], "not_played": unplayed}
        dump(head)
    if any(each.wrong for each in runs):
        return WORSE
    return NO_VERDICT if unplayed else FINE


def play_one(
    session: "RealSession",
    version: "Candidate",
    file: str,
    program: "Program",
    tables: bool,
    runs: "list[RealRun]",
    unplayed: dict[str, str],
) -> None:
    """Play one program on a machine that has played no other.

    :param runs: receives the result
    :param unplayed: receives the reason if there is no result
    :raises RealError: QEMU died or does not answer
    """
    from ...real.errors import UnplayableError
    from ...real.run import run

    if runs:
        session.start()
    try:
        runs.append(run(session, version, file, program, tables))
    except UnplayableError as error:
        unplayed[file] = str(error)


def stamp_one(
    session: "RealSession", witness: "StreamWitness", version: "Candidate", program: "Program", done: "RealRun"
) -> "RealRun":
    """Decide about the rules that no outcome shows, and write the stamp of a finding into its file.

    :param session: its machine ends if another one is needed
    :param done: the run of the program
    :raises RealError: QEMU died or does not answer
    """
    from ...real import tags
    from ...real.filing import file_stamp, signature_of
    from ...real.run import with_stamps
    from ...real.stamp import stamp_of_cpus
    from ...real.stream import RULES

    looked = tags.stamps(session, done.played, [each for each, _ in done.stamps])
    # Only one machine runs at a time.
    session.close()
    stamps = looked + witness.stamps(version, program, session.page_size)
    done = with_stamps(done, stamps)
    absent = None
    try:
        signature = signature_of(done.file)
        checker = signature.partition(":")[0]
        if signature and signature not in [each.signature for each, _ in done.stamps]:
            absent = stamp_of_cpus(version, done.played.program, signature)
        if absent is None and checker in RULES and signature not in [each.signature for each, _ in stamps]:
            absent = witness.stamp_of_absent(version, program, checker)
        file_stamp(done, absent)
    except OSError as error:
        complain(f"{done.file}: {error.strerror or error}; its stamp could not be written")
    return done


def check(arguments: Namespace) -> int:
    """Play the corpus and random programs.

    :raises RealError: something is missing
    :raises BadInputError: QEMU died or does not answer; the results so far are printed
    """
    import candidate

    from ...real.check import RealCheck, corpus, random_programs
    from ...real.errors import RealError
    from ...real.kernels import find
    from ...real.model import model_for
    from ...real.session import RealSession
    from ..inputs import make_out

    kernel = find(arguments.kernel)
    if arguments.model:
        candidate.get(arguments.model)
    interrupted, failure = False, ""
    with RealSession(kernel, arguments.append, complain) as session:
        version = candidate.get(arguments.model or model_for(session.release))
        out = make_out(arguments.out, "real")
        say_form(arguments)
        done = RealCheck(session, version, arguments.tables)
        try:
            for where, program in corpus():
                done.play(program, where)
            more = limit(done, arguments)
            for where, program in random_programs(arguments.seed, session.page_size):
                if not more():
                    break
                done.play(program, where)
            done.save(out)
        except KeyboardInterrupt:
            interrupted = True
        except RealError as error:
            failure = str(error)
    tell_check(done, arguments.json)
    if failure:
        raise BadInputError(failure)
    if done.trouble:
        complain(f"{done.trouble}; not all differences could be written")
        return BAD_INPUT
    if interrupted:
        complain("interrupted")
        return INTERRUPTED
    return WORSE if done.kinds else FINE


def tell_check(done: "RealCheck", as_json: bool) -> None:
    """Print the results so far."""
    from ...reports import answers

    if as_json:
        dump({**answers.head(), **done.answer()})
    else:
        print(done.text(), end="")


def limit(done: "RealCheck", arguments: Namespace) -> Callable[[], bool]:
    """Return the function that tells whether to continue: by seconds, or by the number of random programs."""
    if arguments.programs:
        last = done.programs + arguments.programs
        return lambda: done.programs < last
    end = time.monotonic() + arguments.seconds
    return lambda: time.monotonic() < end


COMMAND: Final = Command(
    "real",
    "play programs on a real kernel",
    _ABOUT,
    add_arguments,
    real,
    (
        "s2fuzz real run corpus/regressions/livelock-two-levels.s2 --kernel 6.12",
        "s2fuzz real check --seconds 60 --seed 2",
    ),
    _EXIT_CODES,
    keys="",
)
