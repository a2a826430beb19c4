# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz compare``: the cost to two versions when many vCPUs use one block."""

from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...exit_codes import FINE
from ..command import Command
from ..messages import BadInputError, NoVerdictError, dump, say_form
from ..options import add_versions
from ..parser import Once, Parser
from ..values import seed, whole

if TYPE_CHECKING:
    from ...comparing.measuring import Figures

MOST: Final = 40
_ABOUT: Final = """\
Run the experiment of the series on two versions, in the model. Report how much is
cleaned, how long the entry of a block stays invalid, and how many faults other
vCPUs take meanwhile. It counts steps, not seconds.

create: all vCPUs touch a block that is not mapped yet. rebuild: one vCPU replaces
the pages by a block again, as after dirty logging, while the others use its pages.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  measured
    2  bad usage or input; one line on stderr gives the place and a remedy
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict available: a version does not complete the workload, or needs
       something that is not modelled; a process cannot be started, or is killed from
       outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
  141  the reader closed the output
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz compare``."""
    add_versions(parser, "the version under test", required=True)
    parser.add_argument("--workload", choices=("create", "rebuild"), required=True, help="what the vCPUs do")
    counts = f"numbers of vCPUs, 1 to {MOST}, with commas (1,20,40)"
    parser.add_argument("--cpus", action=Once, type=cpus, default=(1, 20, 40), metavar="N,N", help=counts)
    parser.add_argument("--block", choices=("2M", "1G"), default="2M", help="the size of the block (%(default)s)")
    parser.add_argument(
        "--seed", action=Once, type=seed, default=0, metavar="N", help="seed of the random choices (%(default)s)"
    )
    parser.add_argument("--plot", action=Once, metavar="FILE", help="also draw a picture: FILE.svg or FILE.png")


def cpus(text: str) -> tuple[int, ...]:
    """Parse the value of ``--cpus``."""
    found = tuple(whole(part, 1, MOST) for part in text.split(","))
    if len(set(found)) != len(found):
        raise ArgumentTypeError(f"{text[:40]!a}; allowed: each number once")
    return found


def compare(arguments: Namespace) -> int:
    """Compare two versions.

    :raises BadInputError: the picture cannot be made
    :raises NoVerdictError: a version does not complete the workload
    :raises candidate.UnknownCandidateError: no version with this name
    """
    import candidate

    from ...comparing.measuring import Experiment, WorkloadError
    from ...comparing.plot import FORMATS, PlotError, plot
    from ...comparing.table import table
    from ...execution.refusal import UnmodelledError
    from ...reports.answers import head
    from ..inputs import probe_output, refused_file

    file = Path(arguments.plot) if arguments.plot is not None else None
    if file is not None and file.suffix not in FORMATS:
        raise BadInputError(f"compare --plot {arguments.plot}: no such format; allowed: FILE{' or FILE'.join(FORMATS)}")
    versions = candidate.get(arguments.reference), candidate.get(arguments.candidate)
    if file is not None:
        probe_output("--plot", str(file))
    names = versions[0].name, versions[1].name
    say_form(arguments)
    reference, tested = (Experiment(each, arguments.workload, arguments.block, arguments.seed) for each in versions)
    rows: dict[int, tuple[Figures, Figures]] = {}
    try:
        for number in arguments.cpus:
            rows[number] = reference.measure(number), tested.measure(number)
    except (WorkloadError, UnmodelledError) as error:
        raise NoVerdictError(f"compare: {error}") from None
    if arguments.json:
        figures = [
            {"cpus": number, "reference": asdict(sides[0]), "candidate": asdict(sides[1])}
            for number, sides in rows.items()
        ]
        about = {"workload": arguments.workload, "block": arguments.block, "seed": arguments.seed}
        dump({**head(), "reference": names[0], "candidate": names[1], **about, "figures": figures})
    else:
        print(table(arguments.workload, arguments.block, names, rows), end="")
    if file is not None:
        try:
            plot(arguments.workload, arguments.block, names, rows, file)
        except OSError as error:
            raise refused_file("--plot", arguments.plot, error) from None
        except PlotError as error:
            raise BadInputError(f"compare --plot {arguments.plot}: {error}") from None
    return FINE


COMMAND: Final = Command(
    "compare",
    "measure the cost of two versions when many vCPUs use one block",
    _ABOUT,
    add_arguments,
    compare,
    (
        "s2fuzz compare --candidate rfc-v1 --workload create",
        "s2fuzz compare --candidate rfc-v1 --workload rebuild --cpus 1,20,40 --block 1G --plot rebuild.svg",
    ),
    _EXIT_CODES,
)
