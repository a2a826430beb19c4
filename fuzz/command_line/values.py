# SPDX-License-Identifier: GPL-2.0-only
"""Parsing of option values, with the messages for values out of bounds."""

import argparse
import math
import re
import time
from typing import Final

MAX_SECONDS: Final = 366 * 24 * 3600
MAX_PROGRAMS: Final = 1_000_000_000
MAX_TRANSLATIONS: Final = 1_000_000_000_000
MAX_AFTER: Final = 1_000_000
MAX_TRIALS: Final = 1000
MAX_WORKERS: Final = 1024
MAX_PORT: Final = 65535
_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_LENGTH: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|min|h|d)")
_DATES: Final = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S")
MAX_SEED: Final = (1 << 64) - 1


def seconds(text: str) -> float:
    """Parse the value of ``--seconds``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: more than 0, at most {MAX_SECONDS} (366 days)")
    return value


def whole(text: str, least: int, most: int) -> int:
    """Parse a whole decimal number within bounds."""
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not digits or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: a whole number from {least} to {most}")
    return int(text)


def programs(text: str) -> int:
    """Parse the value of ``--programs``."""
    return whole(text, 1, MAX_PROGRAMS)


def translations(text: str) -> int:
    """Parse the value of ``--translations``."""
    return whole(text, 1, MAX_TRANSLATIONS)


def trials(text: str) -> int:
    """Parse the value of ``--seeds`` and ``--deepest``."""
    return whole(text, 1, MAX_TRIALS)


def operation(text: str) -> int:
    """Parse the value of ``--after``."""
    return whole(text, 0, MAX_AFTER)


def seed(text: str) -> int:
    """Parse the value of ``--seed``."""
    return whole(text, 0, MAX_SEED)


def folder(text: str) -> str:
    """Parse the name of a directory to write to; refuse "", which would mean the current directory."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name; name a directory (. is the current one)")
    return text


def number(text: str, least: float, most: float) -> float:
    """Parse a number within bounds; *least* itself is allowed unless it is 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most or not value:
        allowed = f"from {least:g} to {most:g}" if least else f"more than 0, at most {most:g}"
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: {allowed}")
    return value


def workers(text: str) -> int:
    """Parse the value of ``--workers``."""
    return whole(text, 1, MAX_WORKERS)


def port(text: str) -> int:
    """Parse the value of ``--http``; 0 means any free port."""
    try:
        return whole(text, 0, MAX_PORT)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; the page is for this machine alone") from None


def length(text: str) -> float:
    """Return the seconds of ``90s``, ``15min``, ``2h``, ``3d``; 0 for any other text."""
    match = _LENGTH.fullmatch(text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    return seconds if seconds <= MAX_SECONDS else 0.0


def until(text: str) -> tuple[str, float]:
    """Parse the value of ``--until``."""
    kind, _, amount = text.partition("=")
    if text == "regression":
        return kind, 0.0
    if kind == "programs":
        return kind, programs(amount)
    if kind == "idle" and (seconds := length(amount)):
        return kind, seconds
    allowed = "idle=2h (s, min, h, d), programs=N, regression"
    raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: {allowed}")


def since(text: str) -> float:
    """Parse the value of ``--since``; return seconds since 1970."""
    if seconds := length(text):
        return time.time() - seconds
    for form in _DATES:
        try:
            return time.mktime(time.strptime(text, form))
        except (ValueError, OverflowError):
            continue
    allowed = "how long ago (90s, 15min, 2h, 3d), or a date and time of this machine (2026-01-31, 2026-01-31 12:00)"
    raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: {allowed}")
