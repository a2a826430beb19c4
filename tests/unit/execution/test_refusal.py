# SPDX-License-Identifier: GPL-2.0-only
"""Messages for needs of a program that are not modelled."""

from fuzz.execution.refusal import UnmodelledError, unmodelled


def test_the_message_for_a_symbol_has_a_remedy() -> None:
    assert unmodelled("memunmap") == (
        "the program needs something that is not modelled: memunmap; "
        "`s2fuzz tree check TREE` says why, docs/how-to/symbol.md how to model it"
    )
    assert str(UnmodelledError("memunmap", "tree:x: operation 1")).startswith(
        "tree:x: operation 1: no verdict: the program needs something that is not modelled: memunmap; "
    )


def test_the_message_for_other_needs_has_no_remedy() -> None:
    text = "dirty rings (ring=), which original does not have"
    assert str(UnmodelledError(text)) == f"no verdict: the program needs something that is not modelled: {text}"
