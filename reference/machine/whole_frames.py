# SPDX-License-Identifier: GPL-2.0-only
"""The frames that maintenance by address goes through from their first byte to their last."""


class WholeFrames:
    """Makes frames of the ranges of addresses that calls go through.

    A frame of which a part is left out is none of them, unless the next call goes on where this one ends.

    :param page_shift: log2 of the size of a frame, in bytes
    """

    def __init__(self, page_shift: int) -> None:
        self.page_shift = page_shift
        # Of calls in a row so far.
        self.start = self.end = 0

    def through(self, pa: int, size: int) -> tuple[int, int]:
        """Return the first frame, and the one behind the last, that are gone through by now.

        :param pa: of a call
        :param size: in bytes
        """
        if pa != self.end:
            self.start = pa
        self.end = pa + size
        shift = self.page_shift
        first, end = -(-self.start >> shift), self.end >> shift
        if first < end:
            # What comes next needs no more of these.
            self.start = end << shift
        return first, max(first, end)
