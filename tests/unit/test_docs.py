# SPDX-License-Identifier: GPL-2.0-only
"""The pages are correct: links, names, commands, examples, and every session with its output."""

import ast
import builtins
import configparser
import re
import shlex
import shutil
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from candidate import Candidate
from fuzz.command_line.parser import Parser
from fuzz.command_line.registry import make_parser
from fuzz.findings.accepted import load_accepted
from fuzz.findings.patterns import matches
from fuzz.findings.severity import MEANINGS
from fuzz.generation.generator import Generator
from fuzz.hardware.qemu import PROGRAM
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .console import ROOT, put_on_path
from .pages import README, anchors, blocks, codes, commands, links, name_of, pages, prose, sessions
from .sessions import check_output, position, run, timeless

PAGES: Final = pages()
each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
LANGUAGES: Final = ("console", "python", "s2", "sh", "text", "toml", "trace", "yaml")
# Shell commands that pages show besides ours.
SHELL: Final = ("python3", "pip", "grep", "head", "git", "sh")
TREES: Final = ("reference", "candidate", "fuzz")
# Pages that their own tests follow step by step, including examples that are meant to fail.
FOLLOWED: Final = {
    "docs/how-to/patch.md": "unit/test_how_to_patch.py",
    "docs/how-to/tree.md": "tree/test_how_to_tree.py",
}


def test_the_readme_is_an_entry_page() -> None:
    assert len(README.read_text().splitlines()) <= 120


@each_page
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, left = {README}, [README]
    while left:
        page = left.pop()
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        new = (targets & set(PAGES)) - reached
        reached |= new
        left += new
    assert [name_of(page) for page in PAGES if page not in reached] == []


@each_page
def test_blocks_name_their_language(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"line {block.line}"
    assert page.read_text().count("\n```") % 2 == 0
    # Nothing would run a session that is only indented.
    assert followed(page) or re.findall(r"^ {4,}\$ .*$", prose(page), re.MULTILINE) == []


def followed(page: Path) -> bool:
    """Return whether a page has its own test."""
    return (ROOT / "tests" / FOLLOWED.get(name_of(page), "none")).exists()


@cache
def classes() -> dict[str, set[str]]:
    """Return the classes of the three trees, each with the names in it."""
    found: dict[str, set[str]] = {}
    for path in (path for tree in TREES for path in (ROOT / tree).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names = found.setdefault(node.name, set())
                for child in ast.walk(node):
                    if isinstance(child, ast.FunctionDef):
                        names.add(child.name)
                    elif isinstance(child, ast.Attribute):
                        names.add(child.attr)
    return found


def resolves(name: str) -> bool:
    """Return whether a dotted name is a module, or a name in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def wrong_name(code: str) -> bool:
    """Return whether text in code style looks like a name of ours, but does not exist.

    NAME and my_patch in a path stand for any name.
    """
    if re.fullmatch(rf"(?:{'|'.join(TREES)}|corpus|docs|tests|\.ci)/[\w./*-]*", code):
        return not list(ROOT.glob(code.replace("NAME", "*").replace("my_patch", "*").rstrip("/")))
    if re.fullmatch(rf"(?:{'|'.join(TREES)})(?:\.\w+)+", code):
        return not resolves(code)
    if match := re.fullmatch(r"([A-Z][a-z]+\w*)(?:\.(\w+))?(?:\(\))?", code):
        # Helpers of tests are not looked up.
        names = classes().get(match[1], {"case"} if match[1] == "Case" else None)
        if names is None:
            return not hasattr(builtins, match[1])
        return bool(match[2] and match[2] not in names)
    return False


@each_page
def test_names_in_code_style_exist(page: Path) -> None:
    examples = "".join(block.text for block in blocks(page) if block.language == "python")
    own = re.findall(r"^class (\w+)", examples, re.MULTILINE)
    assert [code for code in codes(page) if wrong_name(code) and code.partition(".")[0] not in own] == []


NOT_THERE: Final = ("fuzz/checkers/none.py", "corpus/none/", "fuzz.checkers.none", "fuzz.checkers.Checker.none")


@pytest.mark.parametrize("code", [*NOT_THERE, "NoSuchClass", "CheckerSuite.none"])
def test_a_missing_name_is_found(code: str) -> None:
    assert wrong_name(code)


@pytest.mark.parametrize("code", ["GetLog", "CheckerSuite.take", "ValueError", "Case"])
def test_an_existing_name_is_accepted(code: str) -> None:
    """Check it also for a class without members of its own."""
    assert not wrong_name(code)


def option_names(top: Parser) -> set[str]:
    """Return the options of all commands."""
    found = set(top.options())
    for action in top._actions:
        parts = action.choices.values() if isinstance(action.choices, dict) else ()
        for below in (each for each in parts if isinstance(each, Parser)):
            found |= option_names(below)
    return found


@each_page
def test_commands_and_options_in_the_text_exist(page: Path) -> None:
    top = make_parser()
    (names,) = [action.choices for action in top._actions if isinstance(action.choices, dict)]
    targets = makefile_targets()
    extras = configparser.ConfigParser()
    extras.read(ROOT / "setup.cfg")
    for code in codes(page):
        words = code.split()
        if words[0] == "s2fuzz" and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in names, code
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, code
        if words[0].startswith("--") and page.parts[-2:-1] != ("tests",):
            assert words[0].partition("=")[0] in option_names(top) | {"--strict-markers"}, code
        for extra in re.findall(r"\.\[(\w+)\]", code):
            assert extra in extras["options.extras_require"], code


def makefile_targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check_command(line: str) -> None:
    """Check that a command of a page would be accepted.

    :raises SystemExit: its arguments are wrong
    """
    words = shlex.split(line, comments=True)
    while "=" in words[0]:
        words = words[1:]
    match words:
        case ["s2fuzz", *arguments]:
            make_parser().parse_args(arguments)
        case ["make", *targets]:
            assert {target for target in targets if "=" not in target} <= makefile_targets(), line
        case [".venv/bin/python", "-m", "pytest", *arguments]:
            paths = [each.partition("::")[0] for each in arguments if each.startswith("tests")]
            assert all((ROOT / path).exists() for path in paths), line
        case [".venv/bin/python", "-m", module, *_]:
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), line
        case _:
            assert words[0] in SHELL, line


@each_page
def test_commands_are_accepted(page: Path) -> None:
    for line in commands(page):
        check_command(line)


def test_a_refused_command_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("s2fuzz fly", "s2fuzz fuzz --candidate", "s2fuzz run --trce x.s2"):
        with pytest.raises(SystemExit):
            check_command(line)
    for line in ("make fly", ".venv/bin/python -m pytest tests/none", "rm -r x"):
        with pytest.raises(AssertionError):
            check_command(line)


@each_page
def test_programs_are_valid(page: Path) -> None:
    for block in blocks(page):
        if block.language == "s2":
            parse(block.text)


@each_page
def test_python_runs(page: Path) -> None:
    """Check that a candidate in it does not fail on random programs; code of one of our packages is only compiled."""
    names: dict[str, object] = {"__name__": "candidate.example"}
    for block in blocks(page):
        if block.language == "python" and not followed(page):
            code = compile(block.text, f"{name_of(page)}:{block.line}", "exec")
            if not re.search(r"^from \.", block.text, re.MULTILINE):
                exec(code, names)
    types = [each for each in names.values() if isinstance(each, type) and each.__module__ == "candidate.example"]
    pgtables = [each for each in types if issubclass(each, Pgtable)]
    mmus = [each for each in types if issubclass(each, Mmu)]
    assert len(pgtables) == len(mmus)
    for pgtable, mmu in zip(pgtables, mmus, strict=True):
        differential = Differential(Candidate("original", Pgtable, Mmu, ""), Candidate("example", pgtable, mmu, ""))
        generator = Generator(1)
        for _ in range(40):
            verdict = differential.run(generator.next())
            # A fix differs on purpose.
            proposed = page.name == "bugs-found.md"
            assert not any(each.kind == REGRESSION for each in verdict.findings) if proposed else not verdict.failed


def test_the_known_findings_are_a_valid_file(tmp_path: Path) -> None:
    (text,) = [block.text for block in blocks(ROOT / "docs" / "findings.md") if block.language == "toml"]
    path = tmp_path / "known-findings.toml"
    path.write_text(text)
    (entry,) = load_accepted(str(path)).entries
    signature = "locking: kvm_mmu_topup_memory_cache: memory cache filled under mmu_lock"
    assert matches(entry.pattern, "regression", signature)


def test_severities_match_the_code() -> None:
    rows = re.findall(r"^\| ([a-z]+) \| (.*) \|$", prose(ROOT / "docs" / "findings.md"), re.MULTILINE)
    levels = [(level.name.lower(), meaning) for level, meaning in MEANINGS.items()]
    first = rows.index(levels[0])
    assert rows[first : first + len(levels)] == levels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory for sessions, with the corpus of the checkout, and ``s2fuzz`` on PATH."""
    (tmp_path / "corpus").symlink_to(ROOT / "corpus")
    put_on_path(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if sessions(page) and not followed(page)], ids=name_of)
def test_sessions(page: Path, folder: Path) -> None:
    for session in sessions(page):
        if session.command.startswith("s2fuzz hardware") and shutil.which(PROGRAM) is None:
            pytest.skip(f"no {PROGRAM} on PATH (Debian: qemu-system-arm)")
        lines = timeless(session, run(session.command, folder))
        check_output(timeless(session, session.output), lines)


@pytest.mark.parametrize("page", [page for page in PAGES if sessions(page)], ids=name_of)
def test_sessions_have_their_own_folder(page: Path) -> None:
    """Check this because files left by ``make fuzz`` would change the output: only smaller programs replace them."""
    for session in sessions(page):
        words = shlex.split(session.command)
        if words[:2] == ["s2fuzz", "fuzz"]:
            assert "--out" in words[:-1], session.command
            assert words[words.index("--out") + 1] != "findings", session.command


def test_there_are_sessions() -> None:
    assert {name_of(page) for page in PAGES if sessions(page)} >= {"README.md", "docs/how-to/finding.md"}


@pytest.mark.parametrize("shown", ["a b c", "a ... c", "... c", "a ...", "a ... b ...", "..."])
def test_matching_output(shown: str) -> None:
    check_output(shown.split(), ["a", "b", "c"])


@pytest.mark.parametrize("shown", ["a b", "b c", "a ... c b", "... c a ...", "b ...", "... b"])
def test_output_that_does_not_match(shown: str) -> None:
    with pytest.raises(AssertionError):
        check_output(shown.split(), ["a", "b", "c"])


def test_the_trace(folder: Path) -> None:
    page = ROOT / "docs" / "how-to" / "finding.md"
    (excerpt,) = [block.text for block in blocks(page) if block.language == "trace"]
    (command,) = [line for line in commands(page) if "--trace" in line and "rfc-v1-3" in line]
    lines = [line.strip() for line in run(f"COLUMNS=120 {command}", folder)]
    assert position([line.strip() for line in excerpt.rstrip("\n").split("\n")], lines, 0) >= 0
