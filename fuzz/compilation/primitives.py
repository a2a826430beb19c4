# SPDX-License-Identifier: GPL-2.0-only
"""Functions of ours that compiled code calls as C, in place of their Python (`HEADER` defines them)."""

from pathlib import Path
from typing import Final

HEADER: Final = Path(__file__).with_name("words.h")
_MODULES: Final = "candidate.tree.runtime"


def register() -> None:
    """Tell mypyc of them; before it compiles anything."""
    from mypyc.ir.ops import ERR_MAGIC, ERR_NEVER
    from mypyc.ir.rtypes import c_int_rprimitive, int_rprimitive, object_rprimitive
    from mypyc.primitives.registry import ERR_NEG_INT, function_op

    for name, takes, gives, error in (
        ("words.words_of", [object_rprimitive], object_rprimitive, ERR_MAGIC),
        ("words.word_count", [object_rprimitive], int_rprimitive, ERR_NEVER),
        ("words.word", [object_rprimitive, int_rprimitive], int_rprimitive, ERR_MAGIC),
        ("shared.put", [object_rprimitive, int_rprimitive, int_rprimitive], c_int_rprimitive, ERR_NEG_INT),
        ("shared.look", [object_rprimitive, int_rprimitive], int_rprimitive, ERR_MAGIC),
        ("shared.say", [int_rprimitive, object_rprimitive], c_int_rprimitive, ERR_NEG_INT),
        ("shared.hear", [int_rprimitive], int_rprimitive, ERR_MAGIC),
    ):
        function_op(
            name=f"{_MODULES}.{name}",
            arg_types=list(takes),
            return_type=gives,
            c_function_name=f"s2fuzz_{name.partition('.')[2]}",
            error_kind=error,
        )
