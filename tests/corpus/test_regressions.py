# SPDX-License-Identifier: GPL-2.0-only
"""corpus/regressions: the results of the review and the bugs of the original are still found."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import candidate
from fuzz.judging.known import known_bugs
from fuzz.language.text import load
from fuzz.minimizing.expecting import with_expectations

from .files import CORPUS, REGRESSIONS, comments, expectations, reference, verdict

each_regression = pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)


# A version without lines fails once, in a test of its own.
each_expectation = pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for path in REGRESSIONS for name in expectations(path)],
    ids=lambda each: each.stem if isinstance(each, Path) else each,
)


@each_expectation
def test_verdict(path: Path, name: str) -> None:
    assert set(verdict(load(path), name, reference(path)).titles()) == expectations(path)[name]


@pytest.mark.parametrize("name", candidate.names())
def test_expects_something_of_every_registered_version(name: str) -> None:
    without = [path.name for path in REGRESSIONS if name not in expectations(path)]
    assert not without, f"no lines for {name}: run `s2fuzz expect {name}`"


@each_regression
def test_expects_something_of_registered_versions_only(path: Path) -> None:
    unknown = set(expectations(path)) - set(candidate.names())
    assert not unknown, f"{path.name}: no registered version: remove the lines of {', '.join(sorted(unknown))}"


@each_regression
def test_known_bugs_name_the_versions_that_have_them(path: Path) -> None:
    """Only versions that known.toml names are checked; a new version has the bugs of its functions."""
    named = {name for bug in known_bugs() for name in bug.versions}
    for name, found in expectations(path).items():
        for kind, _, signature in (what.partition(" ") for what in found if name in named):
            # Several bugs may have one signature; one of them must fit.
            fit = [bug for bug in known_bugs() if kind in ("common", "cured") and fnmatchcase(signature, bug.pattern)]
            ids = ", ".join(bug.id for bug in fit)
            assert not fit or any((name in bug.versions) == (kind == "common") for bug in fit), f"{ids}: {name}"


@each_regression
def test_expectations_are_as_the_command_writes_them(path: Path) -> None:
    """Check that `s2fuzz expect` changes nothing but what a version changes: otherwise its diff misleads."""
    text = path.read_text(encoding="utf-8")
    for name, found in expectations(path).items():
        lines = [f"# expect {name}: {what}" for what in sorted(found) or ["nothing"]]
        assert with_expectations(text, name, lines) == text, f"run `s2fuzz expect {name}`"


@each_regression
def test_begins_with_a_description(path: Path) -> None:
    assert not comments(path)[0].startswith("# expect")


@each_regression
def test_cites_only_existing_documents(path: Path) -> None:
    for name in re.findall(r"[\w/]+\.md", "\n".join(comments(path))):
        assert (CORPUS.parent / name).exists(), name


@pytest.mark.parametrize(
    "line",
    [
        "# expect original",
        "# expect original: maybe dcache: f: w",
        "# expect original: nothing\n# expect original: nothing",
        "# expect original: common a: b: c\n# expect original: nothing",
        "# expect original: common a: b: c\n# expect original: common a: b: c",
    ],
)
def test_a_wrong_expectation_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.s2"
    path.write_text(line + "\ns2fuzz 1\n")
    with pytest.raises(ValueError, match=r"wrong\.s2"):
        expectations(path)
