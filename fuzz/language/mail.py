# SPDX-License-Identifier: GPL-2.0-only
"""The program in a mail: quoted or not, surrounded by text, with remarks of others between its lines."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Final

from .forms import BEGIN, END
from .operations import THREADS
from .program import ProgramError
from .statements import HEADS, read_operation

# Characters that quote a line.
_QUOTES: Final = ">| \t"
_HEADER: Final = re.compile(r"([>| \t]*)s2fuzz \d+\s*(?:#.*)?")
# Lines that end a program at once: those that begin a signature, or end a code block.
_ENDS: Final = ("--", "```")
# A message as stored or sent. Its text may be encoded.
_MESSAGE: Final = re.compile(rb"(?:From \S+ .*|[A-Za-z][A-Za-z-]*:[ \t].*)\r?\n")
_FIRST_WORDS: Final = frozenset({"vm", BEGIN, END, "switch", *HEADS, *THREADS})


def program_part(text: str) -> str:
    """Return the program in a text, with the comments right above it. Other lines become empty, to keep line numbers.

    The program begins with the line ``s2fuzz 1``, however that line is quoted (``>``, ``|``, spaces). In a program
    quoted by ``>``, lines without the same quoting are remarks. The program ends where an empty line is followed by a
    line that is no statement. A line right after a statement belongs to the program: a mistyped word is an error of the
    program and does not end it. ``--`` and the fence of a code block end it, however. A text that begins with a
    program, or has none, is returned unchanged.

    :raises ProgramError: there are two programs, or statements after the end; without a file
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
        # An indented program has ended here, unless someone has changed the indentation of this line.
        inner = lines[number] if inner is None else inner
        if not inner.strip():
            apart = True
        elif inner.startswith(_ENDS) or (apart and not is_statement(inner)):
            end = number
            break
        else:
            found[number], apart = inner, False
    for number in range(end, len(lines)):
        refuse_after_end(lines[number].lstrip(_QUOTES), number + 1, lines[end].strip())
    return "\n".join(found)


def refuse_after_end(line: str, number: int, ended: str) -> None:
    """Refuse a line after the end of a program that could be part of a program.

    :param number: the number of the line
    :param ended: the line that has ended the program
    :raises ProgramError: the line is a header or an operation
    """
    if _HEADER.fullmatch(line.rstrip()):
        raise ProgramError("", number, "a second program; allowed: a text with one program")
    words = line.partition("#")[0].split()
    try:
        read_operation(words or [""])
    except ProgramError:
        return
    raise ProgramError("", number, f"an operation after the end of the program, {ended[:40]!a}; allowed: one program")


def unquoted(line: str, prefix: str) -> str | None:
    """Return a line without its quoting; None: it is quoted differently. Quoting may lack its space before nothing."""
    if line.startswith(prefix):
        return line[len(prefix) :]
    return "" if line.strip() == prefix.strip() else None


def is_statement(line: str) -> bool:
    """Tell whether a line begins like a statement of a program, or is a comment."""
    words = line.partition("#")[0].split()
    return words[0] in _FIRST_WORDS if words else line.lstrip().startswith("#")


def message_text(data: bytes) -> bytes:
    """Return the decoded text of a message with headers, as UTF-8. Other data is returned unchanged."""
    if not _MESSAGE.match(data):
        return data
    try:
        message = message_from_bytes(data, policy=default)
        body = message.get_body(("plain",)) if isinstance(message, EmailMessage) else None
        content = None if body is None else body.get_content()
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        # An unknown encoding, or invalid headers.
        return data
    return content.encode(errors="replace") if isinstance(content, str) else data
