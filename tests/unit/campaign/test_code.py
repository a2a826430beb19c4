# SPDX-License-Identifier: GPL-2.0-only
"""The digest of s2fuzz covers all code that judges and generates programs."""

from typing import Final

from fuzz.campaign.store.code import TOOL

from ..import_graph import ROOT, imports, layer_of

# Code that those folders use and that changes neither a program nor its verdict: starting processes, loading versions,
# files and texts. The digest of a kernel tree covers the code that builds it.
AROUND: Final = (
    *("candidate", "candidate.inspection", "candidate.registry", "candidate.tree", "candidate.tree.building"),
    *("fuzz.closing", "fuzz.distribution", "fuzz.processes", "fuzz.suggestions"),
    *("fuzz.coverage", "fuzz.findings", "fuzz.minimizing"),
)


def test_the_digest_covers_what_its_code_imports() -> None:
    covered = [folder.replace("/", ".") for folder in TOOL]
    used = {(each.user, each.used) for each in imports(ROOT) if layer_of(each.user, covered)}
    assert len({user for user, _ in used}) > 100
    assert [pair for pair in sorted(used) if not layer_of(pair[1], [*covered, *AROUND])] == []


def test_each_folder_of_the_digest_exists() -> None:
    assert [folder for folder in TOOL if not any((ROOT / folder).glob("*.py"))] == []
