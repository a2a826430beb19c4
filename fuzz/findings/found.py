# SPDX-License-Identifier: GPL-2.0-only
"""Names, order and texts of findings for files and reports, and the known bugs that explain them."""

import hashlib
import re
import shlex
import traceback
from pathlib import Path
from typing import Final

from candidate import RefusedCandidateError, UnknownCandidateError, get, names, portable
from candidate.tree import TreeError
from candidate.tree.runtime.errors import TreeNotStartedError

from ..distribution import home_folder
from ..judging.finding import CLASSES, COMMON, CURED, Finding
from ..judging.known import KnownBug
from ..judging.versions_with_bug import bugs_like, explanation
from ..language.program import Program
from ..language.text import print_program
from .severity import weight

MAX_SLUG: Final = 80
# In addition to the classes of `fuzz.judging.finding`: an exception in our own code.
CRASH: Final = "crash"
_ORDER: Final = (*CLASSES, CRASH)
# Prefix of a line that continues a comment.
_CONTINUATION: Final = "#   "


def rank(finding: Finding) -> tuple[int, tuple[int, int], str]:
    """Return the sort key of findings: class, then severity, then signature."""
    return _ORDER.index(finding.kind), weight(finding.signature), finding.signature


def folder_name(candidate: str, reference: str) -> str:
    """Return the folder name for the findings of a candidate; each candidate has its own folder."""
    against = "" if reference == names()[0] else f"-against-{reference}"
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", candidate + against).lstrip(".-")


def file_name(finding: Finding) -> str:
    """Return ``<kind>-<slug>-<digest>.s2``, which is always the same for the same finding.

    The digest distinguishes signatures whose readable parts are alike.
    """
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", finding.signature).strip("-")[:MAX_SLUG].rstrip("-")
    digest = hashlib.sha256(finding.signature.encode()).hexdigest()[:6]
    return f"{finding.kind}-{slug}-{digest}.s2"


def called(reference: str) -> str:
    """Return the name of the reference for use in a text."""
    return "the original" if reference == names()[0] else reference


def known_of(finding: Finding, reference: str) -> KnownBug | None:
    """Return the known bug of the version *reference* that explains a finding, if one does."""
    if finding.kind not in (COMMON, CURED):
        return None
    return explanation(finding, get(reference))


def known_text(finding: Finding, reference: str) -> str:
    """Return a text on how known bugs of the version *reference* relate to a finding; "" if none does.

    A finding can be read even if the version no longer exists, such as a tree that was moved.
    """
    try:
        return _known_text(finding, reference)
    except (TreeError, TreeNotStartedError, UnknownCandidateError, RefusedCandidateError) as error:
        if finding.kind not in (COMMON, CURED):
            return ""
        return f"cannot tell whether it is a known bug of {reference}: {str(error).partition('; ')[0]}"


def _known_text(finding: Finding, reference: str) -> str:
    """Return the text of a known bug, as `known_text` does.

    :raises candidate.UnknownCandidateError: there is no such version
    :raises candidate.RefusedCandidateError, candidate.tree.TreeError, TreeNotStartedError: the version cannot be used
    """
    bug = known_of(finding, reference)
    if bug is not None:
        link = f" Fixed upstream: {bug.link}." if bug.link else ""
        return f"known bug {bug.id} of {called(reference)}: {bug.reason}{link}"
    alike = [bug.id for bug in bugs_like(finding.signature, get(reference))]
    if not alike or finding.kind in (COMMON, CURED):
        return ""
    bugs = f"bug {alike[0]}" if len(alike) == 1 else f"bugs {', '.join(alike[:-1])} and {alike[-1]}"
    have = "has" if len(alike) == 1 else "have"
    return f"different from known {bugs}, which {have} the same signature: {called(reference)} does not show this"


def reproduce(reference: str, candidate: str, path: Path) -> str:
    """Return the command that shows a finding again, for a shell in the checkout.

    :param path: of its file; paths inside the checkout are made relative to it, also those of a version's file
    """
    file, home = path.resolve(), home_folder()
    name = str(file.relative_to(home) if file.is_relative_to(home) else file)
    versions = ["--reference", portable(reference), "--candidate", portable(candidate)]
    command = [".venv/bin/s2fuzz", "run", *versions, "--trace", name]
    return f"{shlex.join(command)}  # in the checkout of s2fuzz, after `make venv`"


def commented(about: dict[str, str], program: Program) -> str:
    """Return a program below one comment line for each non-empty entry of *about*."""
    comments = [f"# {key}: {' '.join(value.split())}" for key, value in about.items() if value]
    return "\n".join(comments) + "\n" + print_program(program)


def comments_of(text: str) -> dict[str, str]:
    """Read the comments that `commented` put above a program, as far as they exist: key -> value.

    A line that is indented by three spaces or more continues the value above it, as in a mail.
    """
    found: dict[str, str] = {}
    last = ""
    for line in text.strip("\n").splitlines():
        if not line.startswith("#"):
            break
        if line.startswith(_CONTINUATION) and last:
            found[last] += f" {line.removeprefix('#').strip()}"
            continue
        key, colon, value = line.removeprefix("#").partition(":")
        last = ""
        if colon and key.strip() not in found:
            last = key.strip()
            found[last] = value.strip()
    return found


def crash_finding(error: BaseException) -> Finding:
    """Return the finding for an exception of our own code."""
    return Finding(CRASH, crash_signature(error), crash_reason(error))


def crash_signature(error: BaseException) -> str:
    """Return the exception's type and the function that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).stem}.{frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} in {where}"


def crash_reason(error: BaseException) -> str:
    """Return one line: type, message, and the code line that raised the exception."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}{where}".split())
