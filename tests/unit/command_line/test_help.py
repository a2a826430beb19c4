# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz help``: the text of ``--help``, the manual page, completion that a shell reads."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from fuzz.command_line.commands import help as help_command
from fuzz.command_line.parser import Parser
from fuzz.command_line.registry import COMMANDS, make_parser

from ..console import in_process


def test_help_prints_the_help_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys, "help")
    assert run("corpus", "add")[1].startswith("usage: s2fuzz corpus add")
    assert run()[1].startswith("usage: s2fuzz [-h]")


def test_help_of_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys, "help")
    assert run("fly") == (2, "", f"s2fuzz: help: s2fuzz has no 'fly'; there are: {', '.join(COMMANDS)}\n")
    assert "s2fuzz list has no 'x'; there are: no actions" in run("list", "x")[2]
    assert "name none" in run("list", "--man")[2]


def test_the_manual_page_has_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("argparse_manpage", reason="needs argparse-manpage")
    code, out, err = in_process(capsys, "help")("--man")
    assert (code, err) == (0, "")
    assert out.startswith(".TH S2FUZZ")
    for name in COMMANDS:
        assert f"\\fBs2fuzz {name}" in out


def test_bash_completes_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="needs shtab")
    script = in_process(capsys, "help")("--completion", "bash")[1]
    asked = 'COMP_WORDS=(s2fuzz gate --ju); COMP_CWORD=2; _shtab_s2fuzz s2fuzz --ju gate; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash"], input=f"{script}\n{asked}\n", capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--junit"]


def test_a_package_that_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(help_command, "find_spec", lambda module: None)
    code, _, err = in_process(capsys, "help")("--man")
    assert (code, err) == (
        2,
        "s2fuzz: help: the module argparse_manpage is missing; run `pip install -e '.[shell]'` in the checkout\n",
    )


def helps(parser: Parser) -> Iterator[str]:
    """Yield the help of a parser and of all its subparsers, each as one line."""
    yield " ".join(parser.format_help().split())
    for each in parser.below().values():
        yield from helps(each)


@pytest.mark.parametrize("words", [["list"], ["help"], ["known"], ["known", "add"], ["convert"], ["build"]])
def test_the_exit_codes_of_a_command_that_runs_no_program(words: list[str]) -> None:
    codes = help_command.below(make_parser(), words).format_help().partition("\nexit codes:\n")[2]
    assert codes.startswith("    0  done\n")
    assert not re.search("verdict|program", codes)


def test_exit_code_2_has_one_wording() -> None:
    """Check that the help of every command has the wording of docs/findings.md."""
    texts = list(helps(make_parser()))
    assert not [text for text in texts if "says where, and what is allowed" in text]
    assert len([text for text in texts if "one line on stderr gives the place and a remedy" in text]) > 10


def test_the_help_calls_accepted_findings_accepted() -> None:
    """Check that the help does not call them known findings: a *known bug* is another thing."""
    assert not [text for text in helps(make_parser()) if re.search("known finding|findings that you know of", text)]


def test_a_candidate_is_compared_with_a_reference() -> None:
    """Check that the help does not call the reference the *original*, which is the code of 2021 alone."""
    texts = list(helps(make_parser()))
    assert not [text for text in texts if "as the original" in text]
    assert len([text for text in texts if "the version that the candidate is compared with" in text]) > 10
