# SPDX-License-Identifier: GPL-2.0-only
"""Detection of the form of data that may be a program: text, binary records, or neither."""

import re
from typing import Final

# Control characters that never occur in text.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Empty lines and comments, then the header.
_TEXT: Final = re.compile(rb"(?:[ \t\r]*+(?:#[^\n]*+)?\n)*+[ \t\r]*+s2fuzz\b")


def is_text(data: bytes) -> bool:
    """Tell whether *data* begins like a text program. Anything else is binary, and every byte string is a program."""
    return _TEXT.match(data) is not None


def is_readable(data: bytes) -> bool:
    """Tell whether *data* is UTF-8 without control characters, as people write, whether or not it is a program."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(data) is None


def binary_hint(data: bytes) -> str:
    """Return the end of an error message where *data* may be binary records instead of text; "": it looks like text."""
    return "" if is_text(data) or is_readable(data) else ", or `s2fuzz convert`, for binary records"
