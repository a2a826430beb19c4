# SPDX-License-Identifier: GPL-2.0-only
"""Functions of ours that compiled code calls as C, in place of their Python (`HEADER` defines them)."""

from pathlib import Path
from typing import Final

HEADER: Final = Path(__file__).with_name("words.h")
_MODULE: Final = "candidate.tree.runtime.words"


def register() -> None:
    """Tell mypyc of them; before it compiles anything."""
    from mypyc.ir.ops import ERR_MAGIC, ERR_NEVER
    from mypyc.ir.rtypes import int_rprimitive, object_rprimitive
    from mypyc.primitives.registry import function_op

    for name, takes, gives, error in (
        ("words_of", [object_rprimitive], object_rprimitive, ERR_MAGIC),
        ("word_count", [object_rprimitive], int_rprimitive, ERR_NEVER),
        ("word", [object_rprimitive, int_rprimitive], int_rprimitive, ERR_MAGIC),
    ):
        function_op(
            name=f"{_MODULE}.{name}",
            arg_types=list(takes),
            return_type=gives,
            c_function_name=f"s2fuzz_{name}",
            error_kind=error,
        )
