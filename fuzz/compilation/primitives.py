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

    function_op(
        name=f"{_MODULE}.words_of",
        arg_types=[object_rprimitive],
        return_type=object_rprimitive,
        c_function_name="s2fuzz_words_of",
        error_kind=ERR_MAGIC,
    )
    function_op(
        name=f"{_MODULE}.word_count",
        arg_types=[object_rprimitive],
        return_type=int_rprimitive,
        c_function_name="s2fuzz_word_count",
        error_kind=ERR_NEVER,
    )
    function_op(
        name=f"{_MODULE}.word",
        arg_types=[object_rprimitive, int_rprimitive],
        return_type=int_rprimitive,
        c_function_name="s2fuzz_word",
        error_kind=ERR_MAGIC,
    )
