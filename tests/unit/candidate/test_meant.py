# SPDX-License-Identifier: GPL-2.0-only
"""The version that a user probably means by a name that is none."""

from pathlib import Path

import pytest

import candidate
from candidate import RefusedCandidateError, UnknownCandidateError
from candidate.tree import TreeError

from ..console import MISSING_CLEAN, in_process, refused

MEANT = {
    "rfc-v3": "no version 'rfc-v3' (did you mean 'rfc-v1-3'?); there are: original, ",
    "bug-hyp-agan": "no version 'bug-hyp-agan' (did you mean 'bug-hyp-again'?); there are: bug-",
    "nosuch": "no version 'nosuch'; there are: original, ",
    "linux": "no version 'linux' (a kernel tree is `tree:linux`); there are: ",
    "linux@HEAD": "no version 'linux@HEAD' (a kernel tree is `tree:linux@HEAD`); there are: ",
    "linus": "no version 'linus' (did you mean 'tree:linux'?); there are: ",
    "tree=linux": "no version 'tree=linux' (a kernel tree is `tree:linux`); there are: ",
    "my_patch": "no version 'my_patch' (did you mean './my_patch.py'?); there are: ",
    "my-patch": "no version 'my-patch' (did you mean './my_patch.py'?); there are: ",
    "my_pach": "no version 'my_pach' (did you mean './my_patch.py'?); there are: ",
    "v6.12": "no version 'v6.12' (a release is a commit of a kernel tree: `tree:PATH@v6.12`); there are: ",
    "6.12.3": "no version '6.12.3' (a release is a commit of a kernel tree: `tree:PATH@v6.12.3`); there are: ",
    "HEAD~1": "no version 'HEAD~1' (a commit of a kernel tree is `tree:PATH@HEAD~1`); there are: ",
}
PATHS = {
    "./my_pach.py": "candidate ./my_pach.py: no such file (did you mean './my_patch.py'?); give the path of ",
    "./linux": "candidate ./linux: a directory (a kernel tree is `tree:./linux`); give the path of ",
    "./linus": "candidate ./linus: no such file (did you mean 'tree:linux'?); give the path of ",
    "Tree:../linux": "candidate Tree:../linux: no such file (a kernel tree is `tree:../linux`); give the path of ",
    "./nosuch.py": "candidate ./nosuch.py: no such file; give the path of ",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a directory with a file, a folder like a kernel tree, and another folder."""
    (tmp_path / "my_patch.py").write_text("")
    (tmp_path / "linux" / "arch" / "arm64" / "kvm").mkdir(parents=True)
    (tmp_path / "linuses").mkdir()
    (tmp_path / "p.s2").write_text(MISSING_CLEAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MEANT)
def test_a_name_that_is_no_version(name: str) -> None:
    with pytest.raises(UnknownCandidateError) as error:
        candidate.get(name)
    assert str(error.value).startswith(MEANT[name])


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_is_no_file(name: str) -> None:
    with pytest.raises(RefusedCandidateError) as error:
        candidate.get(name)
    assert str(error.value).startswith(PATHS[name])


def test_a_commit_in_a_kernel_tree(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "linux")
    with pytest.raises(UnknownCandidateError, match=r"\(a commit of a kernel tree is `tree:\.@HEAD~1`\)"):
        candidate.get("HEAD~1")


def test_a_kernel_tree_that_is_not_there(here: Path) -> None:
    with pytest.raises(TreeError, match=r"^linus: no such folder \(did you mean 'linux'\?\); allowed: "):
        candidate.get("tree:linus")
    with pytest.raises(TreeError, match=r"^far/away: no such folder; allowed: "):
        candidate.get("tree:far/away")


COMMANDS = {
    "run": ("run", "--candidate", "rfc-v3", "p.s2"),
    "reference": ("run", "--reference", "rfc-v3", "p.s2"),
    "fuzz": ("fuzz", "--candidate", "rfc-v3"),
    "gate": ("gate", "--candidate", "rfc-v3"),
    "campaign": ("campaign", "c", "--candidate", "rfc-v3"),
    "minimize": ("minimize", "--candidate", "rfc-v3", "p.s2"),
    "promote": ("promote", "--candidate", "rfc-v3", "p.s2"),
    "report": ("report", "--candidate", "rfc-v3", "p.s2"),
    "cover": ("cover", "--candidate", "rfc-v3", "p.s2"),
    "expect": ("expect", "rfc-v3"),
    "compare": ("compare", "--workload", "create", "--candidate", "rfc-v3"),
    "explore": ("explore", "--candidate", "rfc-v3", "par.s2"),
    "export": ("export", "--events", "p.s2", "--model", "rfc-v3", "-o", "-"),
    "build": ("build", "--candidate", "rfc-v3"),
    "trees": ("bench", "--trees", "rfc-v3", "original"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_same_message(here: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    par = "s2fuzz 1\nvm\nslot a size=64K backing=anon\npar\ncpu0 read a+0\ncpu1 read a+0\nend\n"
    (here / "par.s2").write_text(par)
    refused(in_process(capsys)(*COMMANDS[command]), f"s2fuzz: {MEANT['rfc-v3']}")
