# SPDX-License-Identifier: GPL-2.0-only
"""The errors of a version's name, of its declaration and of its code."""


class UnknownCandidateError(ValueError):
    """No candidate has this name; the message lists the known names."""


class RefusedCandidateError(ValueError):
    """A candidate is not what its author thinks; one line that gives the reason and what is allowed."""


class RefusedFileError(RefusedCandidateError):
    """A file cannot be a candidate; one line: file and line, what is wrong, and what to do."""


class DeclarationError(ValueError):
    """A module declares no version, or an invalid one; one line.

    :param place: ``file:line``
    """

    def __init__(self, place: str, wrong: str) -> None:
        super().__init__(f"{place}: {wrong}")
        self.place = place
