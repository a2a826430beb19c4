# SPDX-License-Identifier: GPL-2.0-only
"""The last place in a compiled tree at which each kind of step happened: for events that are judged only later."""

from .compiled.annotations import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class LastCodePlaces:
    """Names no place: the ports have no such places."""

    def where(self, chain: int) -> str:
        """Return the place of a call chain as text; "" if it has none."""
        return ""

    def has_stores(self) -> bool:
        """Return whether there are stores with known places."""
        return False

    def stored(self, ptep: int) -> str:
        """Return the place at which an entry was last written; "" if it is not known, as in all methods below."""
        return ""

    def written(self, page: int) -> str:
        """Return the place at which an entry of a table page was last written."""
        return ""

    def counted(self, page: int) -> str:
        """Return the place at which the reference count of a table page last changed."""
        return ""

    def allocated(self, page: int) -> str:
        """Return the place at which a table page, or the first of several, was allocated."""
        return ""

    def taken(self, lock: str) -> str:
        """Return the place at which a lock was last taken."""
        return ""

    def walking(self) -> str:
        """Return the place at which the walker last entered a table in this operation."""
        return ""

    def storing(self) -> str:
        """Return the place at which an entry was last written in this operation."""
        return ""

    def failing(self, ret: int) -> list[str]:
        """Return the places, without calls, that name an error and ran in this operation; [] if they are not known."""
        return []

    def forget_steps(self) -> None:
        """Forget the steps of the last operation: a new one begins, which is judged by its own steps."""
