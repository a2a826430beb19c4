# SPDX-License-Identifier: GPL-2.0-only
"""The declarations of all commands, and the modules that ``--help`` imports."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from fuzz.command_line import cli, commands, registry
from fuzz.command_line.command import EXIT_CODES, Command
from fuzz.command_line.registry import COMMANDS, ORDER, make_parser

from ..console import ROOT

NEW: Final = """\
from fuzz.command_line.command import Command
from fuzz.command_line.messages import dump


def greet(arguments):
    dump({"name": arguments.name})
    return 1


COMMAND = Command("greet", "say hello", "Say hello.", lambda parser: parser.add_argument("name"), greet)
"""
# Modules that ``--help`` may import: the command line, and modules that read no kernel code.
CHEAP: Final = (
    *("fuzz.command_line", "fuzz.processes", "reference.compiled"),
    *("fuzz.distribution", "fuzz.exit_codes", "fuzz.loading", "fuzz.suggestions", "fuzz.engines.registry"),
)
# Packages whose ``__init__.py`` holds only a constant or a docstring.
EMPTY: Final = ("fuzz", "reference", "fuzz.engines", "fuzz.campaign", "fuzz.campaign.store")
IMPORTED: Final = """
import sys
from fuzz.command_line import cli
try:
    cli.main(["--help"])
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


def test_each_module_is_a_command() -> None:
    folder = Path(commands.__path__[0])
    assert sorted(COMMANDS) == sorted(path.stem for path in folder.glob("[a-z]*.py"))
    assert list(COMMANDS)[: len(ORDER)] == list(ORDER)
    assert all(name == each.name for name, each in COMMANDS.items())


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_help_shows_all_that_a_command_declares(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that the help has the summary, text, examples and exit codes, and that the examples can be parsed."""
    assert command.summary[:1].islower()
    assert not command.summary.endswith(".")
    with pytest.raises(SystemExit):
        make_parser().parse_args([command.name, "--help"])
    told = capsys.readouterr().out
    assert command.text().rstrip() in told
    assert "exit codes:" in command.epilog
    for example in command.examples:
        assert example in told
        name, *words = shlex.split(example)
        assert name == "s2fuzz"
        assert make_parser().parse_args(words).command == command.name


def test_a_command_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Check that a new module in the folder suffices: the command runs, and the help lists it after the others."""
    (tmp_path / "greet.py").write_text(NEW)
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "COMMANDS", {each.name: each for each in registry.found()})
    monkeypatch.setattr(cli, "COMMANDS", registry.COMMANDS)
    try:
        assert list(registry.COMMANDS) == [*COMMANDS, "greet"]
        assert cli.main(["greet", "Ann"]) == 1
        assert capsys.readouterr().out == '{\n  "name": "Ann"\n}\n'
        with pytest.raises(SystemExit):
            cli.main(["greet", "--help"])
        assert capsys.readouterr().out.rstrip().endswith(EXIT_CODES.rstrip())
    finally:
        sys.modules.pop(f"{commands.__name__}.greet", None)


def test_help_imports_no_modules_needed_only_by_commands() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.startswith("usage: s2fuzz")
    imported = done.stderr.split()
    ours = [each for each in imported if each.partition(".")[0] in ("fuzz", "candidate", "reference")]
    assert [each for each in ours if not f"{each}.".startswith(tuple(f"{name}." for name in CHEAP))] == sorted(
        EMPTY, key=ours.index
    )
    assert not {"sqlite3", "subprocess", "coverage", "hypothesis", "rich"} & set(imported)
