# SPDX-License-Identifier: GPL-2.0-only
"""The code that a campaign tests and the code of s2fuzz, as digests: a change begins new statistics."""

from dataclasses import dataclass
from typing import Final

import candidate

from ...distribution import home_folder
from ...findings.digests import digest, sources, version_digest

# The folders of the code that judges programs and of the code that generates them. The code that builds kernel trees is
# in the digests of candidate and reference.
TOOL: Final = (
    *("reference", "candidate/tree/runtime", "candidate/tree/lines"),
    *("fuzz/language", "fuzz/sides", "fuzz/checkers", "fuzz/execution", "fuzz/features", "fuzz/judging"),
    *("fuzz/scheduling", "fuzz/generation", "fuzz/properties", "fuzz/engines"),
)


@dataclass(frozen=True, slots=True)
class Code:
    """Digests of the sources of the candidate, the reference and s2fuzz."""

    candidate: str
    reference: str
    tool: str

    def changes(self, earlier: "Code", settings: tuple[str, str]) -> str:
        """Return the names of the parts that differ, for people: ``rfc-v1 and s2fuzz``; "" for none.

        :param settings: names of candidate and reference
        """
        names = (*settings, "s2fuzz")
        pairs = zip(names, self.digests(), earlier.digests(), strict=True)
        return " and ".join(name for name, one, other in pairs if one != other)

    def digests(self) -> tuple[str, str, str]:
        return self.candidate, self.reference, self.tool


def digests_of(reference: str, candidate_name: str) -> Code:
    """Return the digests of the sources as they are on disk now.

    :raises candidate.UnknownCandidateError: one of the names is no version
    :raises candidate.tree.TreeError: a kernel tree cannot be built
    """
    home = home_folder()
    tool = {path for folder in TOOL for kind in ("*.py", "*.toml") for path in (home / folder).rglob(kind)}
    for name in (candidate_name, reference):
        # A kernel tree may have been edited.
        candidate.renewed(name)
    return Code(version_digest(candidate_name), version_digest(reference), digest(tool - sources("original")))
