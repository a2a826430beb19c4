# SPDX-License-Identifier: GPL-2.0-only
"""The places in a compiled tree at which something happened last: for what is judged only afterwards."""

from .compiled.annotations import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class LastPlaces:
    """Names none: code of a port has no such places."""

    def has_stores(self) -> bool:
        """Tell whether there are any stores of which places are known."""
        return False

    def stored(self, ptep: int) -> str:
        """The place at which an entry was written last; "" if nobody knows, as of all others."""
        return ""

    def written(self, page: int) -> str:
        """The place at which an entry of a table page was."""
        return ""

    def counted(self, page: int) -> str:
        """The place at which the count of a table page changed last."""
        return ""

    def allocated(self, page: int) -> str:
        """The place at which a table page, or the first of several, was allocated."""
        return ""

    def taken(self, lock: str) -> str:
        """The place at which a lock was taken last."""
        return ""

    def walking(self) -> str:
        """The place at which a table was entered last in this operation."""
        return ""

    def storing(self) -> str:
        """The place at which an entry was written last in this operation."""
        return ""

    def forget_steps(self) -> None:
        """An operation begins that is judged by what it did."""
