# SPDX-License-Identifier: GPL-2.0-only
"""Compiler annotations, with stand-ins so that plain Python does not need the compiler.

mypy and mypyc see the names of mypy_extensions; plain Python gets stand-ins
that change nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import i64, mypyc_attr
else:
    # A native integer in compiled code: a value that does not fit in 64 bits raises.
    i64 = int

    def mypyc_attr(**_):
        """``@mypyc_attr(allow_interpreted_subclasses=True)``: plain Python may override the methods.

        ``free_list_len=1``: compiled code keeps the memory of one freed object for the next one.
        """
        return lambda decorated: decorated


__all__ = ["i64", "mypyc_attr"]
