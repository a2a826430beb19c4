# SPDX-License-Identifier: GPL-2.0-only
"""Peers, by which engines are measured (`fuzz.benchmark.finding`): others' tools without our guidance.

Run like engines, but nobody would fuzz with them.
"""

from collections.abc import Callable
from typing import Final

from .session import Session

BARE_HYPOTHESIS: Final = "bare-hypothesis"
BARE_ATHERIS: Final = "bare-atheris"
PEERS: Final = (BARE_HYPOTHESIS, BARE_ATHERIS)


def driver(peer: str) -> Callable[[Session], None]:
    """Return the function that drives a session of one of `PEERS`.

    :raises ImportError: its package is not installed
    """
    if peer == BARE_HYPOTHESIS:
        from . import bare_hypothesis

        return bare_hypothesis.drive
    from . import bare_atheris

    return bare_atheris.drive


def environment(engine: str) -> dict[str, str]:
    """Return the environment of an engine's process."""
    # Lines are there in plain Python only.
    return {"S2FUZZ_PURE": "1"} if engine == BARE_ATHERIS else {}
