# SPDX-License-Identifier: GPL-2.0-only
"""A finding as one C file that shows it on any arm64 machine with KVM, in the style of the kernel's selftests.

The file combines the sources of /init, the program, and a judge of its outcomes. It needs a C library and the
kernel's user headers, and nothing from s2fuzz.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from candidate import Candidate

from ..checkers import Violation
from ..execution.refusal import UnmodelledError
from ..language.operations import GetLog, GuestAccess, GuestOutside, Operation
from ..language.program import DEVICES, Program
from ..language.text import headings, print_program
from ..sides.outcome import Outcome
from . import tags
from .answers import AT_ITS_ADDRESS
from .compare import WITHOUT_RESULT, log_text
from .errors import UnplayableError
from .initrd import NATIVE
from .model import ModelRun
from .translate import Played, played

# In this order; judge.c replaces say.c and main.c, which only the emulated machine uses.
PARTS: Final = ("init.h", "number.c", "guest.c", "slots.c", "host.c", "tags.c", "player.c")
JUDGE: Final = "selftest/judge.c"
CODE_OF_GUEST: Final = "stub.S"
_INCLUDE: Final = re.compile(r'^#include (<.*>|".*")\n', re.MULTILINE)
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_LICENCE: Final = re.compile(r"^(?:// SPDX.*|/\* SPDX.* \*/)\n", re.MULTILINE)
_MORE: Final = ("<errno.h>", "<fcntl.h>", "<stdarg.h>", "<stdio.h>", "<stdlib.h>", "<string.h>", "<unistd.h>")


def selftest(program: Program, version: Candidate, name: str) -> str:
    """Return the C file of a program.

    :param version: the model, which defines right outcomes; a guest access that hangs in the model should succeed
    :param name: name of the program's file, for messages
    :raises fuzz.real.errors.UnplayableError: no user space can play it
    :raises UnmodelledError: the program needs a feature of the version that is not modelled
    """
    if any(slot.backing in DEVICES for slot in program.slots):
        raise UnplayableError("it has device memory, and this machine may have none to spare")
    part = played(program, program.vm.granule)
    model = ModelRun(version, part.program)
    found = model.finish()
    if found.refused:
        raise UnmodelledError(found.refused, f"{version.name}, which defines right outcomes")
    part, looked = with_tag_looks(part, found.violations)
    last = len(part.program.operations)
    warning = any(warns(each) for each in found.violations if each.at < last or not looked)
    bodies = [(NATIVE / each).read_text() for each in PARTS]
    includes = sorted({each for body in bodies for each in _INCLUDE.findall(body) if each[0] == "<"} | set(_MORE))
    return "".join(
        [
            "// SPDX-License-Identifier: GPL-2.0-only\n",
            about(part, name),
            "#define _GNU_SOURCE\n",
            *(f"#include {each}\n" for each in includes),
            "\n",
            inner(bodies[0]),
            "\n",
            assembly((NATIVE / CODE_OF_GUEST).read_text()),
            *("\n" + inner(body) for body in bodies[1:]),
            "\n",
            data(part, found.outcomes, warning, looked),
            "\n",
            inner((NATIVE / JUDGE).read_text()),
        ]
    )


def about(part: Played, name: str) -> str:
    """Return the comment at the top: the program, and how to run it."""
    lines = [
        f"Plays a program of s2fuzz, {Path(name).name}, on a VM of this machine:",
        "",
        *(f"    {line}" for line in print_program(part.program).splitlines()),
        "",
        *(f"Left out: {each}" for each in part.left_out),
        "Build it for arm64, with gcc -static -O1, and run it as root. Exit code 0: all outcomes are right; 1: some",
        "are wrong; 4: this machine lacks something it needs.",
    ]
    return "/*\n" + "".join(f" * {line}".rstrip() + "\n" for line in lines) + " */\n"


def inner(body: str) -> str:
    """Return a source without its licence and its includes."""
    return _INCLUDE.sub("", _LICENCE.sub("", body)).strip("\n") + "\n"


def assembly(text: str) -> str:
    """Return an assembly source as one C statement."""
    lines = [line.strip() for line in _COMMENT.sub("", text).splitlines()]
    kept = [line.replace(".section .rodata", ".pushsection .rodata") for line in lines if line]
    kept = [line for line in kept if ".note.GNU-stack" not in line]
    texts = "".join("    " + quoted(line.replace("\t", " ") + "\n") + "\n" for line in [*kept, ".popsection"])
    return f"/* The code of the guest. */\nasm(\n{texts});\n"


def quoted(text: str) -> str:
    """Return a C string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def warns(violation: Violation) -> bool:
    """Return whether the kernel warns when this rule is broken."""
    return violation.checker == "memcache" or (violation.checker == "contract" and "WARN" in violation.what)


def with_tag_looks(part: Played, violations: list[Violation]) -> tuple[Played, int]:
    """Return the program up to the first page that a guest gets with uncleared tags, with lines that look at the tags.

    :param violations: violations of the model
    :returns: the part and the number of looks; the whole part and 0 if there is no such page
    """
    found = next((each for each in violations if tags.look_lines(each, part.program)), None)
    if found is None:
        return part, 0
    lines = tags.look_lines(found, part.program)
    program = replace(part.program, operations=part.program.operations[: found.at + 1])
    played_lines = (tags.leave_line(program), *tags.up_to(part, found.at), *lines)
    return replace(part, program=program, lines=played_lines), len(lines)


def data(part: Played, outcomes: list[Outcome], warning: bool, looked: int) -> str:
    """Return the program and the expected outcomes, as C.

    :param looked: number of looks at tags at the end, none of which should see a tag
    """
    names = headings(part.program)
    expected: list[tuple[str, str, str]] = []
    operations = part.program.operations
    for at, (op, outcome) in enumerate(zip(operations, outcomes[: len(operations)], strict=True)):
        expected.append((names[at + 1].partition(": ")[2], *wanted(op, outcome)))
    expected += [(f"look at tags: {line}", "ok", tags.NONE) for line in part.lines[len(part.lines) - looked :]]
    rows = ["\t{ " + ", ".join(map(quoted, each)) + " },\n" for each in expected]
    lines = "".join(f"\t{quoted(line + chr(10))}\n" for line in part.lines)
    return (
        f"#define PAGE {part.program.vm.granule}\n#define WARNING_IS_EXPECTED {int(warning)}\n\n"
        "/* The program, as play() takes it. */\n"
        f"static char program[] =\n{lines.rstrip()};\n\n"
        "/* The outcome of each operation on a kernel without the bug. */\n"
        "static const struct expectation {\n\tconst char *title, *status, *value;\n} expectations[] = {\n"
        f"{''.join(rows)}}};\n"
    )


def wanted(op: Operation, outcome: Outcome) -> tuple[str, str]:
    """Return the right status and value; the value "" accepts any."""
    if isinstance(op, GuestOutside):
        return "abort", AT_ITS_ADDRESS
    if isinstance(op, WITHOUT_RESULT) or outcome.status == "stuck":
        return "ok", ""
    status = "error" if outcome.status == "efault" else outcome.status
    if status == "ok" and isinstance(op, GetLog) and isinstance(outcome.value, list):
        return status, log_text(outcome.value)
    if status == "ok" and isinstance(op, GuestAccess) and op.kind != "write" and outcome.predictable:
        return status, str(outcome.value) if outcome.value != -1 else ""
    return status, ""
