# SPDX-License-Identifier: GPL-2.0-only
"""The lines of a version's modules that no program reaches.

    S2FUZZ_PURE=1 python -m tests.quality.reach [CANDIDATE ...]

replays corpus/ and `PROGRAMS` generated programs on each version (by default the original) and prints, as JSON, the
blocks of lines that were not executed: file, function, the header line of the block, its lines. It needs the
interpreted form, since the lines of compiled code cannot be observed.
"""

import ast
import json
import sys
from pathlib import Path
from typing import Final, NamedTuple

import coverage

ROOT: Final = Path(__file__).parent.parent.parent
ORIGINAL_FILES: Final = (ROOT / "reference" / "pgtable.py", ROOT / "reference" / "mmu.py")
# Number of random programs, in addition to the corpus.
PROGRAMS: Final = 100
SEED: Final = 1


class Block(NamedTuple):
    """Adjacent lines that are not reached, with a place that does not depend on line numbers."""

    file: str
    function: str
    under: str
    lines: list[str]


class Lines(ast.NodeVisitor):
    """The lines of a source: for each, its function, and the header line of the block that contains its statement."""

    def __init__(self, source: str) -> None:
        self.source = source.split("\n")
        self.names: list[str] = []
        self.places: dict[int, tuple[str, str]] = {}
        self.visit(ast.parse(source))

    def text(self, number: int) -> str:
        return self.source[number - 1].strip()

    def generic_visit(self, node: ast.AST) -> None:
        named = isinstance(node, ast.ClassDef | ast.FunctionDef)
        if named:
            self.names.append(node.name)  # type: ignore[attr-defined]
        for body in ("body", "orelse", "handlers", "finalbody"):
            statements = getattr(node, body, [])
            if isinstance(statements, list):
                for statement in statements:
                    self.note(node, statement, body == "orelse")
        super().generic_visit(node)
        if named:
            self.names.pop()

    def note(self, parent: ast.AST, statement: ast.stmt, other: bool) -> None:
        """Record the place of a statement; the header of an else block is the negated condition."""
        header = self.text(getattr(parent, "lineno", 1))
        under = f"else of {header}" if other and not isinstance(parent, ast.Module) else header
        for number in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
            self.places[number] = (".".join(self.names), under)


def blocks(path: Path, missing: list[int]) -> list[Block]:
    """Return the lines *missing* of a file, by block."""
    lines = Lines(path.read_text())
    found: list[Block] = []
    for number in missing:
        function, under = lines.places.get(number, ("", ""))
        place = (path.relative_to(ROOT).as_posix(), function, under)
        if not found or found[-1][:3] != place:
            found.append(Block(*place, []))
        found[-1].lines.append(lines.text(number))
    return found


def run(names: list[str]) -> list[Block]:
    """Run the programs on the versions with these *names*; return the blocks that were not reached."""
    include = ["reference/*", "candidate/*"]
    watch = coverage.Coverage(data_file=None, config_file=False, concurrency="greenlet", include=include)
    watch.start()
    # Import these only now, so that code that runs at import is counted.
    import candidate
    from fuzz.coverage.replay import candidate_files, replay
    from fuzz.generation.generator import Generator
    from fuzz.language.program import Program
    from fuzz.language.text import load

    generator = Generator(SEED)
    programs: list[Program] = [load(path) for path in sorted((ROOT / "corpus").rglob("*.s2"))]
    programs += [generator.next() for _ in range(PROGRAMS)]
    versions = [candidate.get(name) for name in names]
    for version in versions:
        for program in programs:
            replay(version, program)
    watch.stop()
    found: list[Block] = []
    for path in (*ORIGINAL_FILES, *candidate_files(versions)):
        found += blocks(path, watch.analysis2(str(path))[3])
    return found


if __name__ == "__main__":
    print(json.dumps([block._asdict() for block in run(sys.argv[1:] or ["original"])], indent=1))
