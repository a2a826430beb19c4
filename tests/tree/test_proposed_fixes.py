# SPDX-License-Identifier: GPL-2.0-only
"""The C changes proposed in docs/bugs-found.md: in a copy of a tree, each cures its bug and causes no regression."""

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate import Candidate
from candidate.tree.building.source import MMU, NESTED, PGTABLE
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import COMMON, CURED, REGRESSION, Differential
from fuzz.language.program import Program
from fuzz.language.text import load, parse

from ..unit.console import ROOT
from .trees import planted, version

PAGE: Final = (ROOT / "docs" / "bugs-found.md").read_text()
# Number of random programs for each fix.
PROGRAMS: Final = 25
# Features that random programs may use, by tree.
OFFERS: Final = {
    "6.1": Offers(mte=True),
    "6.12": Offers(split=True, ring=True, mte=True, nested=True),
    "7.3": Offers(split=True, ring=True, mte=True, tagged_hugetlb=True, nested=True),
}
RINGS: Final = "s2fuzz 1\nvm ring=4K bitmap=off\nslot a size=2M backing=thp log=on\ncpu0 write a+0\n"


class Change(NamedTuple):
    """A row of a table of the page: a function, a text in it, and the replacement."""

    function: str
    text: str
    instead: str


def changes(bug: str) -> list[Change]:
    """Return the changes that the section of a bug proposes."""
    paragraph = PAGE.partition(f"\n## {bug}: ")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)\(\)`[^|]* \| `([^`]+)` \| `([^`]+)` \|$", paragraph, re.MULTILINE)
    return [Change(*row) for row in rows]


def regression(name: str) -> Program:
    """Return a regression program of the corpus."""
    return load(ROOT / "corpus" / "regressions" / f"{name}.s2")


# Bug, tree, file, beginning of the cured signatures, and programs that show the bug ("": `RINGS`).
FIXES: Final = [
    *(
        ("P1", tree, MMU, "progress: ", ("livelock-two-levels", "p1-translation-fault"))
        for tree in ("6.1", "6.12", "7.3")
    ),
    *(("U1", tree, PGTABLE, "tlb: ", ("u1-unmap-rounding",)) for tree in ("6.12", "7.3")),
    *(("D1", tree, MMU, "translation: ", ("",)) for tree in ("6.12", "7.3")),
    *(("N1", tree, NESTED, "tlb: ", ("n1-write-protected-at-el1",)) for tree in ("6.12", "7.3")),
    ("T1", "7.3", MMU, "tags: ", ("t1-tags-of-hugetlb",)),
    *(("T2", tree, MMU, "tags: ", ("t2-tags-permission-fault",)) for tree in ("6.1", "6.12", "7.3")),
]


def fixed(bug: str, tree: str, path: str, folder: Path) -> tuple[Candidate, Candidate]:
    """Return a tree, and a copy with the proposed change that fits it."""
    name = version(tree)
    source = (Path(name.partition(":")[2]) / path).read_text()
    for change in changes(bug):
        # The definition of the function, not a call.
        body = re.search(rf"^[^\n]*\b{change.function}\([^;{{]*\)\n{{.*?^}}\n", source, re.MULTILINE | re.DOTALL)
        if body and change.text in body[0]:
            assert body[0].count(change.text) == 1
            new = body[0].replace(change.text, change.instead)
            return candidate.get(name), candidate.get(planted(tree, folder, path, body[0], new))
    raise AssertionError(f"{tree} has none of the places of {bug}")


@pytest.mark.parametrize(("bug", "tree", "path", "shown", "names"), FIXES, ids=lambda each: str(each)[:8])
def test_a_fix_cures_its_bug_without_regressions(
    bug: str, tree: str, path: str, shown: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    before, after = fixed(bug, tree, path, tmp_path / "tree")
    programs = [regression(name) if name else parse(RINGS) for name in names]
    for program in programs:
        found = Differential(before, before).run(program).findings
        assert {each.kind for each in found if each.signature.startswith(shown)} == {COMMON}
        found = Differential(before, after).run(program).findings
        assert {each.kind for each in found if each.signature.startswith(shown)} == {CURED}
        # On its own, the fixed tree breaks no rule.
        assert Differential(after, after).run(program).findings == []
    generator = Generator(23, offers=OFFERS[tree])
    for _ in range(PROGRAMS):
        found = Differential(before, after).run(generator.next()).findings
        assert [each.signature for each in found if each.kind == REGRESSION] == []


def test_each_proposal_is_tried() -> None:
    assert {bug for bug in re.findall(r"^## (\w+): ", PAGE, re.MULTILINE) if changes(bug)} == {bug for bug, *_ in FIXES}
