# SPDX-License-Identifier: GPL-2.0-only
"""Functions that compiled code calls directly in C: our own, and methods of Python's types (`HEADER`)."""

from pathlib import Path
from typing import Final

HEADER: Final = Path(__file__).with_name("words.h")
_TREES: Final = "candidate.tree.runtime"
_MACHINE: Final = "reference.machine"


def register() -> None:
    """Register the functions with mypyc, before it compiles anything."""
    from mypyc.ir.ops import ERR_MAGIC, ERR_NEVER
    from mypyc.ir.rtypes import (
        c_int_rprimitive,
        dict_rprimitive,
        int_rprimitive,
        list_rprimitive,
        object_rprimitive,
        str_rprimitive,
    )
    from mypyc.primitives.registry import ERR_NEG_INT, function_op, method_op

    for name, takes, gives, error in (
        (f"{_TREES}.words.words_of", [object_rprimitive], object_rprimitive, ERR_MAGIC),
        (f"{_TREES}.words.word_count", [object_rprimitive], int_rprimitive, ERR_NEVER),
        (f"{_TREES}.words.word", [object_rprimitive, int_rprimitive], int_rprimitive, ERR_MAGIC),
        (f"{_TREES}.shared.put", [object_rprimitive, int_rprimitive, int_rprimitive], c_int_rprimitive, ERR_NEG_INT),
        (
            f"{_TREES}.shared.words_at",
            [object_rprimitive, int_rprimitive, int_rprimitive],
            object_rprimitive,
            ERR_MAGIC,
        ),
        (f"{_TREES}.shared.core", [], int_rprimitive, ERR_NEVER),
        (f"{_TREES}.shared.look", [object_rprimitive, int_rprimitive], int_rprimitive, ERR_MAGIC),
        (f"{_TREES}.shared.write_bytes", [int_rprimitive, object_rprimitive], c_int_rprimitive, ERR_NEG_INT),
        (f"{_TREES}.shared.read_byte", [int_rprimitive], int_rprimitive, ERR_MAGIC),
        (f"{_MACHINE}.sparse.word_of", [list_rprimitive, int_rprimitive], int_rprimitive, ERR_MAGIC),
        (f"{_MACHINE}.spans.last_up_to", [list_rprimitive, int_rprimitive], int_rprimitive, ERR_NEVER),
        (f"{_MACHINE}.sparse.used_from", [list_rprimitive, int_rprimitive], int_rprimitive, ERR_NEVER),
        (f"{_MACHINE}.sparse.not_zero", [list_rprimitive], int_rprimitive, ERR_NEVER),
        (f"{_MACHINE}.sparse.odd", [list_rprimitive], int_rprimitive, ERR_NEVER),
    ):
        function_op(
            name=name,
            arg_types=list(takes),
            return_type=gives,
            c_function_name=f"s2fuzz_{name.rpartition('.')[2]}",
            error_kind=error,
        )
    for method, takes, gives, c_name in (
        ("pop", [dict_rprimitive, object_rprimitive, object_rprimitive], object_rprimitive, "s2fuzz_dict_pop"),
        # The compiler sees a format specification in an f-string as a call of ``format``.
        ("format", [str_rprimitive, object_rprimitive, str_rprimitive], str_rprimitive, "s2fuzz_format"),
    ):
        method_op(name=method, arg_types=list(takes), return_type=gives, c_function_name=c_name, error_kind=ERR_MAGIC)
