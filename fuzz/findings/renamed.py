# SPDX-License-Identifier: GPL-2.0-only
"""Signatures that changed: the former names of a finding, so that files of accepted findings still match.

An entry is added when a checker calls the same defect by another name; one that
now sees more, or something worse, gets none.
"""

import re
from functools import cache
from typing import Final

from ..language.operations import Par
from ..language.operations.declaration import DECLARATIONS, title_of

# A pattern of the signature as it is, and templates of its former ones.
RENAMED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    # Crashes of a tree's code that were worded differently.
    (
        r"(?P<what>contract: .*: oops) access to an unallocated table page(?P<place>.*)",
        (r"\g<what> access to a table page that nobody allocated\g<place>",),
    ),
    (r"(?P<what>contract: .*: oops) process died", (r"\g<what> ended without a word",)),
    # Once the walk cache is flushed, only the leaves of the table are left.
    (
        r"tlb: (?P<function>.*): two sizes for one address, the other L\d (?P<level>L\d)",
        (
            r"bbm: \g<function>: table->block made before the flush \g<level>",
            r"lifetime: \g<function>: freed before the flush",
        ),
    ),
    # A clean that comes too early was none, if the page was dirty again.
    (
        r"dcache: (?P<function>.*): unmapped, cleaned before the flush (?P<level>L\d)",
        (r"dcache: \g<function>: unmapped, not cleaned \g<level>",),
    ),
    (
        r"contract: (?P<function>.*): abort at another address, the physical one",
        (r"contract: \g<function>: abort at another address",),
    ),
)


@cache
def names_of(signature: str) -> tuple[str, ...]:
    """Return a signature, and the former ones of the same finding."""
    found = [signature]
    # Differences of what operations gave were named after classes.
    result, _, title = signature.partition(": ")
    if result == "result":
        found += [f"{result}: {kind.__name__}" for kind in (*DECLARATIONS, Par) if title_of(kind) == title]
    for pattern, before in RENAMED:
        match = re.fullmatch(pattern, signature)
        if match:
            found += [match.expand(template) for template in before]
    return tuple(found)
