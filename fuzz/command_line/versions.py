# SPDX-License-Identifier: GPL-2.0-only
"""The two versions of a command, opened before anything runs, and compared afterwards. Imported by actions only."""

from argparse import Namespace
from collections.abc import Iterable

import candidate
from candidate import Candidate
from candidate.tree import PREFIX
from candidate.tree.opening import build_ahead, has_changed

from .messages import complain


def open_versions(arguments: Namespace) -> tuple[Candidate, Candidate]:
    """Return the versions of ``--reference`` and ``--candidate``; kernel trees are built for all page sizes.

    :raises candidate.UnknownCandidateError: no version with this name
    :raises candidate.tree.TreeError: a kernel tree cannot be built
    """
    names = arguments.reference, arguments.candidate
    # Refuse an unknown name before building trees.
    for name in names:
        if not name.startswith(PREFIX):
            candidate.get(name)
    build_ahead(list(names), complain)
    return candidate.get(arguments.reference), candidate.get(arguments.candidate)


def say_changed(versions: Iterable[Candidate]) -> None:
    """Complain about each kernel tree whose source has changed since it was opened; the old source was judged."""
    for version in versions:
        if version.is_tree and has_changed(version.name, version.content):
            complain(f"{version.name} has changed since the session began; its old source was judged; run it again")
