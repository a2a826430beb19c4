# SPDX-License-Identifier: GPL-2.0-only
"""Messages on stderr: always one line for one message, whatever names it holds."""


def one_line(text: str) -> str:
    """A text with each character that cannot be printed, line ends among them, as an escape sequence."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
