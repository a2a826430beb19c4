# SPDX-License-Identifier: GPL-2.0-only
"""The places of events, as a compiled tree names them, for versions in Python."""

from reference.kernel import Kernel
from reference.last_code_places import LastCodePlaces


class OnePlace(LastCodePlaces):
    """Names every call chain with the same text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def where(self, chain: int) -> str:
        return self.text


def set_place(kernel: Kernel, text: str) -> None:
    """Set the place of the events that follow; "" if there is none."""
    kernel.last = OnePlace(text)
    kernel.chain = 1 if text else 0
