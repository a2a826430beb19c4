# SPDX-License-Identifier: GPL-2.0-only
"""Declarations of engines: each can be installed, is explained, judges, and is never compared by name.

docs/how-to/engine.md tells a contributor what to do when a test here fails.
"""

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from fuzz.command_line.registry import make_parser
from fuzz.engines.registry import DEFAULT, ENGINES, PEERS, PUBLIC, Engine, engine_of
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Unit
from fuzz.language.text import load, print_program

ROOT: Final = Path(__file__).parents[3]
REGISTRY: Final = ROOT / "fuzz" / "engines" / "registry.py"
START: Final = print_program(load(ROOT / "corpus" / "seeds" / "coalesce-translation.s2"))
each_engine: Final = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)


def extras() -> dict[str, str]:
    """Return the packages that setup.cfg installs with each extra."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return dict(config["options.extras_require"])


def uninstallable(engine: Engine) -> str:
    """Describe the mistake in the installation of an engine's package; "" if there is none."""
    if not engine.package:
        return ""
    if engine.extra not in extras():
        return f"{engine.name}: setup.cfg has no extra {engine.extra!r}"
    named = re.search(rf"^{re.escape(engine.package)}\b", extras()[engine.extra], re.MULTILINE)
    return "" if named else f"{engine.name}: the extra {engine.extra!r} of setup.cfg does not install {engine.package}"


def unexplained(engine: Engine, pages: Iterable[Path]) -> str:
    """Describe the missing explanation if no page names the engine; "" if one does."""
    word = rf"`(?:--engine )?{re.escape(engine.name)}`"
    return "" if any(re.search(word, page.read_text()) for page in pages) else f"{engine.name}: no page explains it"


def compared(path: Path, names: set[str]) -> list[str]:
    """Return the places where a module has the name of an engine as a string, as ``line: name``."""
    return [
        f"{path.name}:{node.lineno}: {node.value}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    ]


def test_no_two_engines_have_one_name() -> None:
    assert len({engine.name for engine in ENGINES}) == len(ENGINES)


def behind_a_peer(engines: Sequence[Engine]) -> str:
    """Describe the first public engine that stands after a peer; "" if there is none."""
    peer = ""
    for engine in engines:
        if engine.public and peer:
            return f"{engine.name}: put it before {peer} in fuzz/engines/registry.py, which is not for users"
        peer = peer or ("" if engine.public else engine.name)
    return ""


def test_engines_for_users_stand_before_their_peers() -> None:
    assert behind_a_peer(ENGINES) == ""
    late = Engine("late", "late_programs:drive")
    assert behind_a_peer([*ENGINES, late]).startswith(f"late: put it before {PEERS[0]} ")
    assert PUBLIC[0] == DEFAULT


def test_every_module_of_fuzz_asks_the_registry() -> None:
    names = {engine.name for engine in ENGINES}
    modules = [path for path in sorted((ROOT / "fuzz").rglob("*.py")) if path != REGISTRY]
    assert [wrong for path in modules for wrong in compared(path, names)] == []
    assert len(compared(REGISTRY, names)) >= len(names)


@each_engine
def test_every_engine_can_be_installed(engine: Engine) -> None:
    assert uninstallable(engine) == ""


@each_engine
def test_every_engine_is_explained(engine: Engine) -> None:
    assert unexplained(engine, [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]) == ""


@each_engine
def test_every_engine_judges_and_can_repeat_it(engine: Engine) -> None:
    if engine.missing():
        pytest.skip(engine.missing())
    unit = Unit(engine.name, "original", "rfc-v1", 1, programs=2, corpus=(START,))
    first, second = run_unit(unit), run_unit(unit)
    assert first.accidents == []
    assert (first.state.programs, first.state.ended) == (2, True)
    assert first.state.operations == second.state.operations
    assert first.found == second.found


@each_engine
def test_the_command_line_accepts_the_public_engines(engine: Engine) -> None:
    arguments = ["fuzz", "--candidate", "rfc-v1", "--engine", engine.name]
    if engine.public:
        assert make_parser().parse_args(arguments).engine == engine.name
    else:
        with pytest.raises(SystemExit):
            make_parser().parse_args(arguments)


def test_the_registry_needs_only_the_standard_library() -> None:
    """Check this because it is imported before the installed packages are checked."""
    ours = "{n for n in sys.modules if n.startswith(('fuzz', 'reference', 'candidate'))}"
    code = f"import sys, fuzz; before = {ours}; import fuzz.engines.registry; print(sorted({ours} - before))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown == "['fuzz.engines', 'fuzz.engines.registry']\n"


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="no engine 'none'"):
        engine_of("none")


def test_missing_steps_are_named(tmp_path: Path) -> None:
    needs = next(engine for engine in ENGINES if engine.package == "hypothesis")
    new = replace(needs, name="new", driver="new:drive", extra="none")
    assert uninstallable(new) == "new: setup.cfg has no extra 'none'"
    assert uninstallable(replace(new, extra="atheris")).endswith("does not install hypothesis")
    page = tmp_path / "page.md"
    page.write_text("A new engine.\n")
    assert unexplained(new, [page]) == "new: no page explains it"
    page.write_text("`--engine new`\n")
    assert unexplained(new, [page]) == ""
    module = tmp_path / "some.py"
    module.write_text('def f(engine: str) -> bool:\n    return engine == "new"\n')
    assert compared(module, {"new"}) == ["some.py:2: new"]
    with pytest.raises(ModuleNotFoundError, match="new"):
        new.drive()
