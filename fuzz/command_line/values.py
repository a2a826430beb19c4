# SPDX-License-Identifier: GPL-2.0-only
"""The values that options take: what is in bounds, and the message for what is not."""

import argparse
import math
from typing import Final

MAX_SECONDS: Final = 366 * 24 * 3600
MAX_PROGRAMS: Final = 1_000_000_000
MAX_TRANSLATIONS: Final = 1_000_000_000_000
MAX_TRIALS: Final = 1000
MAX_WORKERS: Final = 1024
MAX_SEED: Final = (1 << 64) - 1


def seconds(text: str) -> float:
    """The value of ``--seconds``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: more than 0, at most {MAX_SECONDS} (366 days)")
    return value


def whole(text: str, least: int, most: int) -> int:
    """A whole decimal number within bounds."""
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not digits or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: a whole number from {least} to {most}")
    return int(text)


def programs(text: str) -> int:
    """The value of ``--programs``."""
    return whole(text, 1, MAX_PROGRAMS)


def translations(text: str) -> int:
    """The value of ``--translations``."""
    return whole(text, 1, MAX_TRANSLATIONS)


def trials(text: str) -> int:
    """The value of ``--seeds`` and ``--workers``."""
    return whole(text, 1, MAX_TRIALS)


def seed(text: str) -> int:
    """The value of ``--seed``."""
    return whole(text, 0, MAX_SEED)


def folder(text: str) -> str:
    """The name of a directory that is written to; an empty one would mean the current directory."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name; name a directory (. is the current one)")
    return text


def number(text: str, least: float, most: float) -> float:
    """A number within bounds; *least* itself is allowed unless it is 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most or not value:
        allowed = f"from {least:g} to {most:g}" if least else f"more than 0, at most {most:g}"
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: {allowed}")
    return value


def workers(text: str) -> int:
    """The value of ``--workers``."""
    return whole(text, 1, MAX_WORKERS)
