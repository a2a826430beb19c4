# SPDX-License-Identifier: GPL-2.0-only
"""A finding as one C file that shows it on any arm64 machine with KVM, in the manner of the kernel's selftests.

The file is what /init is made of, with the program in it and a judge of its outcomes. It needs a C library and the
kernel's user headers, and none of ours.
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
from .compare import SILENT, words
from .errors import UnplayableError
from .initrd import NATIVE
from .model import ModelRun
from .translate import Played, played

# In this order; say.c and main.c are those of the emulated machine, judge.c stands for both.
PARTS: Final = ("init.h", "number.c", "guest.c", "slots.c", "host.c", "tags.c", "player.c")
JUDGE: Final = "selftest/judge.c"
CODE_OF_GUEST: Final = "stub.S"
_INCLUDE: Final = re.compile(r'^#include (<.*>|".*")\n', re.MULTILINE)
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_LICENCE: Final = re.compile(r"^(?:// SPDX.*|/\* SPDX.* \*/)\n", re.MULTILINE)
_MORE: Final = ("<errno.h>", "<fcntl.h>", "<stdarg.h>", "<stdio.h>", "<stdlib.h>", "<string.h>", "<unistd.h>")


def selftest(program: Program, version: Candidate, name: str) -> str:
    """The C file of a program.

    :param version: the model, which says what outcomes are right; an access of it that does not end should
    :param name: of the file of the program, for people
    :raises fuzz.real.errors.UnplayableError: no user space can play it
    :raises UnmodelledError: the program needs something that is not modelled for the version
    """
    if any(slot.backing in DEVICES for slot in program.slots):
        raise UnplayableError("it has device memory, of which this machine may have none to spare")
    part = played(program, program.vm.granule)
    model = ModelRun(version, part.program)
    found = model.finish()
    if found.refused:
        raise UnmodelledError(found.refused, f"{version.name}, which says what is right")
    part, looked = with_looks(part, found.violations)
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
    """The comment at the top: the program, and how to run it."""
    lines = [
        f"Plays a program of s2fuzz, {Path(name).name}, on a VM of this machine:",
        "",
        *(f"    {line}" for line in print_program(part.program).splitlines()),
        "",
        *(f"Left out: {each}" for each in part.left_out),
        "Build it for arm64, with gcc -static -O1, and run it as root. Exit code 0: all is as it should be; 1: it is",
        "not; 4: this machine lacks what it needs.",
    ]
    return "/*\n" + "".join(f" * {line}".rstrip() + "\n" for line in lines) + " */\n"


def inner(body: str) -> str:
    """A source without its licence and its includes."""
    return _INCLUDE.sub("", _LICENCE.sub("", body)).strip("\n") + "\n"


def assembly(text: str) -> str:
    """An assembly source as one statement of C."""
    lines = [line.strip() for line in _COMMENT.sub("", text).splitlines()]
    kept = [line.replace(".section .rodata", ".pushsection .rodata") for line in lines if line]
    kept = [line for line in kept if ".note.GNU-stack" not in line]
    texts = "".join("    " + quoted(line.replace("\t", " ") + "\n") + "\n" for line in [*kept, ".popsection"])
    return f"/* The code of the guest. */\nasm(\n{texts});\n"


def quoted(text: str) -> str:
    """A literal of C."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def warns(violation: Violation) -> bool:
    """Tell whether the kernel warns where a rule is broken."""
    return violation.checker == "memcache" or (violation.checker == "contract" and "WARN" in violation.what)


def with_looks(part: Played, violations: list[Violation]) -> tuple[Played, int]:
    """The part of a program up to the first tags that a guest gets uncleared, and lines by which it looks at them.

    :param violations: of the model
    :returns: all of it and 0, where there are none; else with the number of looks
    """
    found = next((each for each in violations if tags.looks(each, part.program)), None)
    if found is None:
        return part, 0
    lines = tags.looks(found, part.program)
    program = replace(part.program, operations=part.program.operations[: found.at + 1])
    return replace(part, program=program, lines=(tags.leave(program), *tags.up_to(part, found.at), *lines)), len(lines)


def data(part: Played, outcomes: list[Outcome], warning: bool, looked: int) -> str:
    """The program and the expected outcomes, as C.

    :param looked: how many looks at tags come last, of which none should see one
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
    """Status and value that are right; a value of "" is any."""
    if isinstance(op, GuestOutside):
        return "abort", AT_ITS_ADDRESS
    if isinstance(op, SILENT) or outcome.status == "stuck":
        return "ok", ""
    status = "error" if outcome.status == "efault" else outcome.status
    if status == "ok" and isinstance(op, GetLog) and isinstance(outcome.value, list):
        return status, words(outcome.value)
    if status == "ok" and isinstance(op, GuestAccess) and op.kind != "write" and outcome.predictable:
        return status, str(outcome.value) if outcome.value != -1 else ""
    return status, ""
