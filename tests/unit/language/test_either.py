# SPDX-License-Identifier: GPL-2.0-only
"""Recognition of the form: input by people is text, and any input by engines is a program."""

import pytest

from fuzz.language.binary import encode
from fuzz.language.either import read
from fuzz.language.looks import is_readable
from fuzz.language.program import ProgramError
from fuzz.language.text import parse

TEXT = "s2fuzz 1\nvm\nslot a size=4K backing=anon\ncpu0 read a+0\n"


def test_both_forms_are_the_same_program() -> None:
    program = parse(TEXT)
    assert read(TEXT.encode(), "x") == read(encode(program), "x") == program


@pytest.mark.parametrize("data", [b"s2fuz 1\nvm\n", b"# README\n\nabout this\n", "\u00e4\n".encode(), b""])
def test_mistyped_text_is_not_taken_for_binary(data: bytes) -> None:
    assert is_readable(data)
    with pytest.raises(ProgramError, match="allowed: "):
        read(data, "x")
    assert read(data, "x", engine=True).slots


@pytest.mark.parametrize("data", [b"s2fuz 1\n\x00", b"\xff\xfe", b"\x1b[0m"])
def test_unreadable_data_is_binary(data: bytes) -> None:
    assert read(data, "x").slots
