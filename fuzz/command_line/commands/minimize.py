# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz minimize``: the smallest program that shows a finding."""

from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...exit_codes import FINE, INTERRUPTED
from ..command import DONE, Command
from ..messages import dump, say_form
from ..options import BINARY, add_finding
from ..parser import Once, Parser

if TYPE_CHECKING:
    from ...files import OutputFile
    from ...judging.finding import Finding
    from ...minimizing.minimize import Minimized
    from ...reports import answers
    from ..chosen_finding import Chosen

# The name of standard input or output; `fuzz.command_line.inputs` must not be imported yet.
STANDARD: Final = "-"
_ABOUT: Final = """\
Look for the smallest program that shows the same finding: class and signature stay.
Fewer operations come first, then fewer slots, then plain settings and low operands.
Ctrl-C keeps the smallest program so far (exit code 130).
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz minimize``."""
    parser.add_argument("program", metavar="PROGRAM", help=BINARY)
    add_finding(parser)
    where = "output file (PROGRAM with .min before its extension)"
    parser.add_argument("-o", "--output", action=Once, metavar="OUT", help=where)


def minimize(arguments: Namespace) -> int:
    """Shrink a program that shows a finding.

    :raises BadInputError: the program cannot be read or shows nothing, or *output* cannot be written
    :raises NoVerdictError: no process can judge the program, or it needs something that is not modelled
    :raises candidate.UnknownCandidateError: one of the names is no version
    """
    from ...findings.replay import Replayer
    from ...findings.witness import STAMP_PREFIX
    from ...language.text import shown_name
    from ..changes import changes_answer, say_changes
    from ..chosen_finding import choose
    from ..inputs import refused_output
    from ..shrinking import shrink, sizes_text

    with ExitStack() as stack:
        with Replayer() as replayer:
            # Refuse what can be refused before anything runs.
            output = None if arguments.output is None else _output_file(arguments)
            chosen = choose(arguments, replayer)
            if arguments.output is None:
                output = _output_file(arguments)
            if output is not None:
                stack.enter_context(output)
            say_changes(chosen.reference, [chosen.candidate])
            say_form(arguments)
            result, shown = shrink(chosen, replayer, arguments.seconds, quiet=arguments.json)
        # A device or a FIFO cannot be read again.
        file = Path(chosen.file if output is None or output.opened else output.path)
        text = file_text_of(chosen, result, shown, file)
        if output is not None:
            try:
                output.write(text)
            except OSError as error:
                raise refused_output(output.path, error) from None
    name = None if output is None else shown_name(output.path)
    code = INTERRUPTED if result.interrupted else FINE
    if arguments.json:
        changes = changes_answer(chosen.reference, [chosen.candidate])
        dump({**_answer(chosen, result, name, text), "exit_code": code, "changes": changes})
    elif name is None:
        print(text, end="")
    else:
        print(f"{chosen.shown.kind}  {chosen.shown.signature}\n{sizes_text(chosen.program, result)}: {name}")
        if chosen.stamp:
            print(f"{STAMP_PREFIX}{chosen.stamp}")
    return code


def file_text_of(chosen: "Chosen", result: "Minimized", shown: "Finding", file: Path) -> str:
    """Return the program with its comments.

    :param file: the output file, for the command in the comments
    """
    from ...findings.digests import code_text
    from ...findings.found import commented
    from ...findings.record import file_comments, record_of
    from ...findings.witness import KEY
    from ..shrinking import sizes_text

    record = record_of(shown, result.program, 0)
    code = code_text(chosen.reference, chosen.candidate)
    about = file_comments(record, chosen.reference, chosen.candidate, file, code)
    if "seed" in chosen.comments:
        about["seed"] = chosen.comments["seed"]
    # The stamp belongs to the larger program.
    about[KEY] = chosen.stamp
    about["minimized"] = sizes_text(chosen.program, result)
    return commented(about, result.program)


def _output_file(arguments: Namespace) -> "OutputFile | None":
    """Return the file to write to, checked to be writable; None: standard output.

    :raises BadInputError: it cannot be written
    """
    from ...files import OutputFile
    from ..inputs import refused_output

    name = arguments.output
    if name == STANDARD or (name is None and arguments.program == STANDARD):
        return None
    if name is None:
        path = Path(arguments.program)
        name = str(path.with_name(f"{path.stem}.min{path.suffix}"))
    try:
        output = OutputFile(name)
        output.probe()
    except OSError as error:
        raise refused_output(name, error) from None
    return output


def _answer(chosen: "Chosen", result: "Minimized", file: str | None, text: str) -> "answers.Json":
    from ...reports import answers

    return {
        **answers.head(),
        "program": chosen.file,
        "reference": chosen.reference,
        "candidate": chosen.candidate,
        "class": chosen.shown.kind,
        "signature": chosen.shown.signature,
        "operations": [len(chosen.program.operations), len(result.program.operations)],
        "slots": [len(chosen.program.slots), len(result.program.slots)],
        "runs": result.runs,
        "seconds": round(result.seconds, 3),
        "finished": result.finished,
        "interrupted": result.interrupted,
        "file": file,
        "text": text,
    }


COMMAND: Final = Command(
    "minimize",
    "look for the smallest program that shows a finding",
    _ABOUT,
    add_arguments,
    minimize,
    ("s2fuzz minimize findings/rfc-v1/x.s2 -o x.s2",),
    epilog=DONE,
)
