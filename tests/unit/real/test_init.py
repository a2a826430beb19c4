# SPDX-License-Identifier: GPL-2.0-only
"""/init on its console: programs that are too long, and processes that cannot be created."""

from pathlib import Path
from typing import Final

import pytest

from fuzz.real.answers import CREATION, RealOutcome, parse

from .natively import STUBS, compiled, said

# QUIT ends this program in place of the machine.
INIT: Final = (
    STUBS
    + r"""
#include <errno.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

static int no_process(void)
{
    errno = EAGAIN;
    return -1;
}

#define reboot(how) exit(0)
#define main init_main
#define fork() (getenv("NO_FORK") ? no_process() : fork())
#include "main.c"
#undef main

int operation;
u64 page_size, device_memory;

void open_messages(void)
{
}

void play(char *text)
{
    say("# played %zu bytes\n", strlen(text));
}

int main(void)
{
    serve();
}
"""
)
# The limits of main.c.
MAX_LINE: Final = 4096
MAX_TEXT: Final = 4 << 20


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program that serves its standard input as /init serves its console."""
    return compiled(INIT, tmp_path_factory.mktemp("init"))


def played(init: Path, *lines: str) -> list[str]:
    """Return the answer to a program."""
    return said(init, "\n".join(["BEGIN", *lines, "END", "QUIT", ""]))


def test_a_program_is_played_whole(init: Path) -> None:
    line = "x" * (MAX_LINE - 1)
    answers = parse(played(init, line, "Z"))
    assert (answers.notes, answers.outcomes, answers.status) == ([f"played {MAX_LINE + 2} bytes"], {}, 0)


@pytest.mark.parametrize(
    "lines", [["Z", "x" * MAX_LINE, "Z"], ["x" * (MAX_LINE - 1)] * (MAX_TEXT // MAX_LINE)], ids=["line", "text"]
)
def test_nothing_of_a_longer_program_is_played(init: Path, lines: list[str]) -> None:
    answers = parse(played(init, *lines))
    assert answers.notes == []
    assert answers.outcomes == {CREATION: RealOutcome("error", "-7 of a program of this length")}
    assert answers.incomplete
    # The next program is not affected.
    whole = said(init, "\n".join(["BEGIN", *lines, "END", "BEGIN", "Z", "END", "QUIT", ""]))
    assert [line for line in whole if line.startswith("# ")] == ["# played 2 bytes"]
    assert sum(line.startswith("DONE ") for line in whole) == 2


def test_a_program_without_a_process_is_not_played(init: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_FORK", "1")
    answers = parse(played(init, "Z"))
    assert answers.outcomes == {CREATION: RealOutcome("error", "-11 of the process of the program")}
    assert answers.incomplete
    assert said(init, "EXEC /bin/true\nQUIT\n") == ["# /bin/true: Resource temporarily unavailable", "EXIT 127"]


def test_the_exit_status_of_a_program(init: Path) -> None:
    assert said(init, "EXEC /bin/true\nEXEC /bin/false\nEXEC /none\nQUIT\n") == ["EXIT 0", "EXIT 1", "EXIT 127"]
