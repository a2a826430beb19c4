# SPDX-License-Identifier: GPL-2.0-only
"""Programs in mails: quoted, indented, encoded, with remarks between the lines; refusals with their lines."""

import textwrap
from email.message import EmailMessage

import pytest

from fuzz.language.mail import message_text, program_part
from fuzz.language.program import ProgramError
from fuzz.language.text import parse

ABOVE = "# kind: regression\n# candidate: rfc-v1\n"
PROGRAM = "s2fuzz 1\nvm\nslot a size=2M backing=thp log=on\ncpu0 read a+4K mmu=off\nlog a off\n"
BLOCK = "s2fuzz 1\nvm\nslot a size=2M backing=thp\npar\n  cpu0 read a+0\n  cpu1 read a+0\n  switch cpu0 to cpu1\nend\n"


def quoted(text: str, mark: str = "> ") -> str:
    return "".join(f"{mark}{line}\n".replace(" \n", "\n") for line in text.splitlines())


MAILS = {
    "bare": f"Hello,\n\nthis fails:\n\n{ABOVE}{PROGRAM}\nRegards\n",
    "at the end": f"This fails:\n{ABOVE}{PROGRAM}",
    "indented": "Hello,\n\n" + textwrap.indent(ABOVE + PROGRAM, "    ") + "\nRegards\n-- \nA. Name\n",
    "quoted": "On Friday somebody wrote:\n" + quoted(f"Hello,\n\n{ABOVE}{PROGRAM}\nRegards\n") + "\nTrue.\n",
    "quoted twice": quoted(quoted(f"Hello,\n\n{ABOVE}{PROGRAM}")) + "\nTrue.\n",
    "quoted and indented": quoted(textwrap.indent(f"{ABOVE}{PROGRAM}", "  ")) + "True.\n",
    "a signature right below": f"This fails:\n\n{ABOVE}{PROGRAM}-- \nA. Name\n",
    "prose that begins like an operation": f"This fails:\n\n{ABOVE}{PROGRAM}\nThe host is mine.\n",
}


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)
def test_the_program_of_a_mail(mail: str) -> None:
    part = program_part(mail)
    assert parse(part) == parse(PROGRAM)
    assert part.split() == (ABOVE + PROGRAM).split()
    assert part.count("\n") == mail.count("\n")


def test_remarks_between_quoted_lines_are_skipped() -> None:
    first, rest = PROGRAM.split("cpu0", 1)
    mail = quoted(f"It fails:\n\n{first}") + "\nWhy is logging on?\n\n" + quoted(f"cpu0{rest}") + "\nI see.\n"
    assert parse(program_part(mail)) == parse(PROGRAM)


def test_a_block_keeps_its_lines() -> None:
    mail = "It fails:\n\n" + quoted(textwrap.indent(BLOCK, "    "))
    assert program_part(mail).split() == BLOCK.split()


@pytest.mark.parametrize("text", ["", "no program\n", PROGRAM, ABOVE + PROGRAM, f"\n{PROGRAM}\nfly a\n", "> vm\n"])
def test_text_that_is_no_mail_is_unchanged(text: str) -> None:
    """Check that a file is parsed unchanged: a wrong line never ends its program."""
    assert program_part(text) == text


REFUSED = {
    "a word that is wrong": (f"It fails:\n\n{PROGRAM}cpu0 raed a+0\n", 8, "raed"),
    "an unknown word right behind": (f"It fails:\n\n{PROGRAM}lgo a on\n", 8, "lgo"),
    "operations after the end": (f"It fails:\n\n{PROGRAM}\nlgo a on\ncpu0 read a+0\n", 10, "after the end"),
    "two programs": (f"It fails:\n\n{PROGRAM}\nAnd so does\n\n{PROGRAM}", 11, "second program"),
    "two programs, one quoted": (f"It fails:\n\n{PROGRAM}\nAnd so does\n\n{quoted(PROGRAM)}", 11, "second program"),
    "a program that is cut": (quoted("It fails:\n\ns2fuzz 1\n"), 3, "no vm line after s2fuzz 1"),
}


@pytest.mark.parametrize(("mail", "line", "words"), REFUSED.values(), ids=REFUSED)
def test_errors_have_the_line_of_the_mail(mail: str, line: int, words: str) -> None:
    with pytest.raises(ProgramError, match=words) as error:
        parse(program_part(mail))
    assert error.value.line == line


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
def test_a_stored_message_is_decoded(encoding: str) -> None:
    message = EmailMessage()
    message["Subject"] = "a finding"
    message.set_content(f"It fails:\n\n{quoted(PROGRAM)}", cte=encoding)
    assert parse(program_part(message_text(bytes(message)).decode())) == parse(PROGRAM)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", PROGRAM.encode(), ABOVE.encode(), b"Subject: x\nContent-Type: image/png\n\n"]
)
def test_other_texts_are_unchanged(data: bytes) -> None:
    assert message_text(data) == data
