# SPDX-License-Identifier: GPL-2.0-only
"""Patterns of signatures: ``*`` matches any text, ``?`` any character; no other character is special."""

import re
from functools import cache


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(letter) or re.escape(letter) for letter in pattern), re.DOTALL)


def matches(pattern: str, kind: str, signature: str) -> bool:
    """Tell whether *pattern* matches the whole signature, or ``KIND SIGNATURE``."""
    compiled = _compiled(pattern)
    return bool(compiled.fullmatch(signature) or compiled.fullmatch(f"{kind} {signature}"))
