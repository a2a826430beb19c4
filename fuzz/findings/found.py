# SPDX-License-Identifier: GPL-2.0-only
"""Findings of a session: each once, with the smallest program that shows it, as a file."""

import hashlib
import re
import shlex
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from candidate import get, names, portable

from ..judging.differential import CLASSES, COMMON, CURED
from ..distribution import home_folder
from ..judging.known import KnownBug, explanation, known_bug
from ..language.program import Program
from ..language.text import headings, print_program
from .severity import severity, weight

MAX_SLUG: Final = 80
# Beside the classes of `fuzz.judging.differential`: an exception in our own code.
CRASH: Final = "crash"
_ORDER: Final = (*CLASSES, CRASH)


@dataclass(slots=True)
class Found:
    """A finding, and the smallest program seen that shows it.

    :param kind: regression, divergence, common, cured, or crash
    :param signature: together with the kind what tells it from others
    :param reason: one line for people, of that program
    :param program: the smallest: fewest operations, then shortest text
    :param number: which program of the seed that is, from 1; 0: one that its file had already
    :param at: index of the operation in it, as in `fuzz.judging.differential.Finding`
    :param count: programs that showed it
    :param path: its file, once written
    """

    kind: str
    signature: str
    reason: str
    program: Program
    number: int
    at: int
    count: int = 1
    path: Path | None = None

    def size(self) -> tuple[int, int]:
        """What the smallest program is smallest by; only fewer operations beat one that its file had already."""
        return len(self.program.operations), len(print_program(self.program)) if self.number else 0

    def where(self) -> str:
        """The operation of the program at which it shows; "" for a crash."""
        return "" if self.kind == CRASH else headings(self.program)[self.at + 1]


def in_order(findings: Iterable[Found]) -> list[Found]:
    """Sorted by weight of the class, then by severity, then by signature."""
    return sorted(findings, key=lambda found: rank(found.kind, found.signature))


def rank(kind: str, signature: str) -> tuple[int, tuple[int, int], str]:
    """What findings are sorted by, the weightiest first."""
    return _ORDER.index(kind), weight(signature), signature


def folder_name(candidate: str, reference: str) -> str:
    """Where the findings of a candidate are kept, so that those of several do not mix."""
    against = "" if reference == names()[0] else f"-against-{reference}"
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", candidate + against).lstrip(".-")


def file_name(kind: str, signature: str) -> str:
    """``<kind>-<slug>-<digest>.s2``: the same for the same finding, always.

    The digest keeps signatures apart whose readable parts are alike.
    """
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", signature).strip("-")[:MAX_SLUG].rstrip("-")
    digest = hashlib.sha256(signature.encode()).hexdigest()[:6]
    return f"{kind}-{slug}-{digest}.s2"


def called(reference: str) -> str:
    """What a text calls the version that counts as the original."""
    return "the original" if reference == names()[0] else reference


def known_of(kind: str, signature: str, reason: str, reference: str) -> KnownBug | None:
    """The known bug of the version *reference* that explains a finding, if one does."""
    if kind not in (COMMON, CURED):
        return None
    return explanation(signature, reason, get(reference))


def known_text(kind: str, signature: str, reason: str, reference: str) -> str:
    """What known bugs of the version *reference* have to do with a finding; "" if nothing."""
    bug = known_of(kind, signature, reason, reference)
    if bug is not None:
        link = f" (fixed upstream: {bug.link})" if bug.link else ""
        return f"known bug {bug.id} of {called(reference)}: {bug.reason}{link}"
    bug = known_bug(signature, get(reference))
    if bug is None or kind in (COMMON, CURED):
        return ""
    return f"same signature as known bug {bug.id} of {called(reference)}, which did not show it here"


def reproduce(reference: str, candidate: str, path: Path) -> str:
    """The command that shows a finding again, for a shell in the checkout.

    :param path: of its file; what lies in the checkout, a version's file too, the command has relative to it
    """
    file, home = path.resolve(), home_folder()
    name = str(file.relative_to(home) if file.is_relative_to(home) else file)
    versions = ["--reference", portable(reference), "--candidate", portable(candidate)]
    command = [".venv/bin/s2fuzz", "run", *versions, "--trace", name]
    return f"{shlex.join(command)}  # in the checkout of s2fuzz, after `make venv`"


def file_text(found: Found, reference: str, candidate: str, seed: int, path: Path) -> str:
    """The program, under comments that say what it shows and how to see it.

    :param path: of the file, for the command in it
    """
    about = file_comments(found, reference, candidate, path)
    about["seed"] = f"{seed}, program {found.number}"
    return commented(about, found.program)


def file_comments(found: Found, reference: str, candidate: str, path: Path) -> dict[str, str]:
    """What there is to say about a finding whose file is *path*: key -> value."""
    return {
        "kind": found.kind,
        "signature": found.signature,
        "severity": "" if found.kind == CRASH else severity(found.signature).text,
        "reason": found.reason,
        "at": found.where(),
        "known": known_text(found.kind, found.signature, found.reason, reference),
        "reference": reference,
        "candidate": candidate,
        "seed": "",
        "reproduce": reproduce(reference, candidate, path),
    }


def commented(about: dict[str, str], program: Program) -> str:
    """A program under a comment line for each thing to say about it, empty ones left out."""
    comments = [f"# {key}: {' '.join(value.split())}" for key, value in about.items() if value]
    return "\n".join(comments) + "\n" + print_program(program)


def comments_of(text: str) -> dict[str, str]:
    """What `commented` put on top of a program, as far as it is there: key -> value."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        key, colon, value = line.removeprefix("#").partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found


def crash_signature(error: BaseException) -> str:
    """The exception's type and the function that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).stem}.{frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} in {where}"


def crash_reason(error: BaseException) -> str:
    """One line: type, message, and the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}{where}".split())
