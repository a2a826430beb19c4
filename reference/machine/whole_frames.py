# SPDX-License-Identifier: GPL-2.0-only
"""The frames that maintenance by address covers from their first byte to their last."""


class WholeFrames:
    """Converts the address ranges of calls to whole frames.

    A partly covered frame does not count, unless the next call continues where this one ends.

    :param page_shift: log2 of the size of a frame, in bytes
    """

    def __init__(self, page_shift: int) -> None:
        self.page_shift = page_shift
        # Range of the consecutive calls so far.
        self.start = self.end = 0

    def through(self, pa: int, size: int) -> tuple[int, int]:
        """Return the first frame completely covered by now, and the frame after the last one.

        :param pa: start of the call's range
        :param size: in bytes
        """
        if pa != self.end:
            self.start = pa
        self.end = pa + size
        shift = self.page_shift
        first, end = -(-self.start >> shift), self.end >> shift
        if first < end:
            # The next call needs no more of these frames.
            self.start = end << shift
        return first, max(first, end)
