# SPDX-License-Identifier: GPL-2.0-only
"""The program in a mail: quoted or not, with text before and behind it, and remarks of others between its lines."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Final

from .forms import BEGIN, END
from .operations import THREADS
from .program import ProgramError
from .statements import HEADS, read_operation

# What quotes a line.
_QUOTES: Final = ">| \t"
_HEADER: Final = re.compile(r"([>| \t]*)s2fuzz \d+\s*(?:#.*)?")
# Lines that end it at once: a signature's, and the fence of a block of code.
_ENDS: Final = ("--", "```")
# A message as it is stored or sent, in which the text may be encoded.
_MESSAGE: Final = re.compile(rb"(?:From \S+ .*|[A-Za-z][A-Za-z-]*:[ \t].*)\r?\n")
_FIRST_WORDS: Final = frozenset({"vm", BEGIN, END, "switch", *HEADS, *THREADS})


def program_part(text: str) -> str:
    """The lines of a text that are a program with the comments right above it; the others empty, so that numbers stay.

    The program begins with the line ``s2fuzz 1``, whatever quotes it (``>``, ``|``, spaces). Lines that are not quoted
    as that line is are remarks on a program that is quoted by ``>``. It ends where an empty line is followed by
    something that is no statement. What follows a statement at once belongs to it: a word that is mistyped is an error
    of the program, and not its end; but ``--`` and the fence of a block of code end it. A text that begins with a
    program, or has none, is as it was.

    :raises ProgramError: there are two programs, or statements behind the end; without a file
    """
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if _HEADER.fullmatch(line.rstrip())), -1)
    match = _HEADER.fullmatch(lines[first].rstrip()) if first >= 0 else None
    if match is None or (not match[1] and all(not each.strip() or each.startswith("#") for each in lines[:first])):
        return text
    prefix = match[1]
    found = [""] * len(lines)
    for number in range(first - 1, -1, -1):
        inner = unquoted(lines[number], prefix)
        if inner is None or not inner.startswith("#"):
            break
        found[number] = inner
    found[first] = "s2fuzz" + lines[first].partition("s2fuzz")[2]
    end, apart = len(lines), False
    for number in range(first + 1, len(lines)):
        inner = unquoted(lines[number], prefix)
        if inner is None and ">" in prefix:
            continue
        # What was indented has come to its end, unless somebody has moved a line.
        inner = lines[number] if inner is None else inner
        if not inner.strip():
            apart = True
        elif inner.startswith(_ENDS) or (apart and not is_statement(inner)):
            end = number
            break
        else:
            found[number], apart = inner, False
    for number in range(end, len(lines)):
        refuse_behind(lines[number].lstrip(_QUOTES), number + 1, lines[end].strip())
    return "\n".join(found)


def refuse_behind(line: str, number: int, ended: str) -> None:
    """Refuse a line behind the end of a program that would be part of one.

    :param number: of the line
    :param ended: the line that has ended the program
    :raises ProgramError: it is a header, or an operation
    """
    if _HEADER.fullmatch(line.rstrip()):
        raise ProgramError("", number, "a second program; allowed: a text with one program")
    words = line.partition("#")[0].split()
    try:
        read_operation(words or [""])
    except ProgramError:
        return
    raise ProgramError("", number, f"an operation behind the end of the program, {ended[:40]!a}; allowed: one program")


def unquoted(line: str, prefix: str) -> str | None:
    """A line without what quotes it; None: it is not quoted so. Quotes before nothing may have lost their space."""
    if line.startswith(prefix):
        return line[len(prefix) :]
    return "" if line.strip() == prefix.strip() else None


def is_statement(line: str) -> bool:
    """Tell whether a line begins as a statement of a program does, or is a comment."""
    words = line.partition("#")[0].split()
    return words[0] in _FIRST_WORDS if words else line.lstrip().startswith("#")


def message_text(data: bytes) -> bytes:
    """The text of a message with headers, decoded, in UTF-8; what is no such message stays as it is."""
    if not _MESSAGE.match(data):
        return data
    try:
        message = message_from_bytes(data, policy=default)
        body = message.get_body(("plain",)) if isinstance(message, EmailMessage) else None
        content = None if body is None else body.get_content()
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        # An encoding that nobody knows, or headers that are none.
        return data
    return content.encode(errors="replace") if isinstance(content, str) else data
