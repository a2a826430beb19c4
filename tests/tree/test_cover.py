# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz cover`` on kernel trees: lines of C, each with a program that reaches it."""

import json
from pathlib import Path

import pytest

from candidate.tree.building.source import PGTABLE
from fuzz.command_line.cli import main
from fuzz.exit_codes import BAD_INPUT, FINE

from .trees import planted, real_tree, version

TREE = "6.12"
WALKER = "\tret = stage2_map_walker_try_leaf(ctx, data);\n\tif (ret != -E2BIG)\n"
MAPS = "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\n"
PROGRAMS = {"maps": MAPS, "unmaps": f"{MAPS}host discard a+0 4K\n", "reads-twice": f"{MAPS}cpu0 read a+0\n"}


@pytest.fixture
def programs(tmp_path: Path) -> list[str]:
    """Write the programs to files; return their paths."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, text in PROGRAMS.items():
        (folder / f"{name}.s2").write_text(text)
    return sorted(str(path) for path in folder.iterdir())


def line_of(text: str) -> int:
    """Return the number of the first line of pgtable.c that begins with a text."""
    lines = (real_tree(TREE) / PGTABLE).read_text().splitlines()
    return next(at for at, line in enumerate(lines, 1) if line.startswith(text))


def test_the_number_of_processes_does_not_matter(programs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for workers in ("1", "3"):
        assert main(["cover", *programs, "--candidate", version(TREE), "--workers", workers, "--json"]) == FINE
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    file = said[0]["files"][PGTABLE]
    assert len(file["missing_lines"]) + len(file["reached_lines"]) == file["lines"]
    # Each line lists the smallest program that reaches it.
    assert {Path(name).stem for name in file["reached_lines"].values()} == {"maps", "unmaps"}
    unmap = line_of("int kvm_pgtable_stage2_unmap(")
    reached = [int(line) for line, name in file["reached_lines"].items() if name.endswith("/unmaps.s2")]
    assert any(unmap < line < unmap + 15 for line in reached)


def test_the_programs_of_a_line(programs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs are listed for the candidate only; a message says that the reference is left out."""
    copy = planted(TREE, tmp_path / "tree", PGTABLE, WALKER, "\tcpu_relax();\n" + WALKER)
    line = (tmp_path / "tree" / PGTABLE).read_text().splitlines().index("\tcpu_relax();") + 2
    both = ["--reference", version(TREE), "--candidate", copy]
    assert main(["cover", *programs, *both, "--line", f"pgtable.c:{line}", "--workers", "2"]) == FINE
    answer = capsys.readouterr()
    assert answer.out.splitlines()[0] == f"{PGTABLE}:{line}: 3 of 3 programs reach it"
    assert answer.out.splitlines()[1] == f"s2fuzz run --candidate {copy} {programs[0]}"
    assert f"{version(TREE)} is not replayed: lines of C are reported for one tree, here {copy}" in answer.err
    assert main(["cover", *programs, *both, "--line", "pgtable.c:1"]) == BAD_INPUT
    assert "pgtable.c:1: no code; the nearest line with code is" in capsys.readouterr().err


def test_pages(programs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = tmp_path / "pages"
    tree = f"{version(TREE)}:sanitize"
    assert main(["cover", *programs, "--candidate", tree, "--html", str(pages)]) == FINE
    page = (pages / f"{PGTABLE.replace('/', '_')}.html").read_text()
    assert '<pre class="ran">' in page
    assert '<pre class="not">' in page
    assert "maps.s2" in page
    assert "stage2_map_walker_try_leaf" in page
    assert capsys.readouterr().out.splitlines()[0] == f"3 programs on {tree}:"
