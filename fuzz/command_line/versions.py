# SPDX-License-Identifier: GPL-2.0-only
"""The two versions of a command, opened before anything runs. Imported by actions only."""

from argparse import Namespace

import candidate
from candidate import Candidate
from candidate.tree import PREFIX
from candidate.tree.opening import build_ahead

from .messages import complain


def open_versions(arguments: Namespace) -> tuple[Candidate, Candidate]:
    """Return the versions of ``--reference`` and ``--candidate``; kernel trees are built for all sizes of pages.

    :raises candidate.UnknownCandidate: no version of this name
    :raises candidate.tree.TreeError: a kernel tree cannot be built
    """
    names = arguments.reference, arguments.candidate
    # A name that is none is refused before trees are built.
    for name in names:
        if not name.startswith(PREFIX):
            candidate.get(name)
    build_ahead(list(names), complain)
    return candidate.get(arguments.reference), candidate.get(arguments.candidate)
