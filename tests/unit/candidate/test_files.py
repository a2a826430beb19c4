# SPDX-License-Identifier: GPL-2.0-only
"""Candidates in files outside the tree: named by path, refused in one line, found by child processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import candidate
from candidate import RefusedCandidateError
from candidate.registry import files
from candidate.registry.files import canonical
from fuzz.campaign.store.code import digests_of
from fuzz.command_line import cli
from fuzz.findings.found import comments_of, folder_name
from reference.compiled.choice import HOME, OUTSIDE, module_of_file
from reference.stores import writes_once

from ..console import MISSING_CLEAN, process, refused

MINE = """\
from candidate import Candidate
from candidate.rfc_v1_3 import MmuRfcV1_3, PgtableRfcV1_3


class PgtableMine(PgtableRfcV1_3):
    def stage2_flush_dcache(self, addr, size):
        super().stage2_flush_dcache(addr, size)


class MmuMine(MmuRfcV1_3):
    pass


CANDIDATE = Candidate("mine", PgtableMine, MmuMine, "a test")
"""
ON_TOP = """\
from candidate import Candidate

from .mine import MmuMine, PgtableMine


class PgtableTop(PgtableMine):
    def stage2_flush_dcache(self, addr, size):
        return


CANDIDATE = Candidate("top", PgtableTop, MmuMine, "a test")
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a directory with two candidates and a program."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2FUZZ_FILES", raising=False)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "top.py").write_text(ON_TOP)
    (tmp_path / "p.s2").write_text(MISSING_CLEAN)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("mine.py", "./mine.py"),
        ("./mine.py", "./mine.py"),
        ("././a/../mine.py", "./mine.py"),
        ("../x/mine.py", "../x/mine.py"),
        ("/a//mine.py", "/a/mine.py"),
    ],
)
def test_all_paths_of_a_file_have_one_name(given: str, name: str) -> None:
    assert canonical(given) == name


def test_a_file_declares_a_version_under_its_path(here: Path) -> None:
    version = candidate.get("mine.py")
    assert (version.name, version.origin) == ("./mine.py", "a test")
    assert candidate.get("./mine.py") is version
    assert candidate.get(str(here / "mine.py")).pgtable is version.pgtable
    assert version.pgtable.__module__ == module_of_file(here.resolve() / "mine.py")
    assert version.name not in candidate.names()
    assert candidate.changes("mine.py").text() == "./mine.py (on rfc-v1-3) overrides stage2_flush_dcache; adds nothing"
    assert not (here / "__pycache__").exists()


def test_a_file_can_import_the_file_beside_it() -> None:
    top, mine = candidate.get("./top.py"), candidate.get("./mine.py")
    assert issubclass(top.pgtable, mine.pgtable)
    assert candidate.changes("./top.py").bases == ("./mine.py",)


def test_a_file_of_the_candidate_folder_is_the_registered_version() -> None:
    assert candidate.get(str(HOME / "candidate" / "rfc_v2.py")) is candidate.get("rfc-v2")
    assert candidate.get(str(HOME / "candidate" / "bugs" / "hyp_again.py")) is candidate.get("bug-hyp-again")
    assert candidate.get(str(HOME / "candidate" / "original.py")) is candidate.get("original")


def test_a_relative_path_is_also_searched_in_the_checkout() -> None:
    assert candidate.get("candidate/rfc_v2.py").name == "rfc-v2"


@pytest.mark.parametrize("stem", ["my-patch", "v5.14", "class", "5_14", "an other"])
def test_a_file_may_have_any_name(here: Path, stem: str) -> None:
    path = here / f"{stem}.py"
    path.write_text(MINE)
    version = candidate.get(f"./{stem}.py")
    module = version.pgtable.__module__
    assert module.startswith(OUTSIDE)
    assert all(part.isidentifier() for part in module.split("."))
    assert version.pgtable is not candidate.get("./mine.py").pgtable


CANNOT = {
    "missing": (None, "candidate ./bad.py: no such file; give the path of"),
    "syntax": ("x = 1\ndef f(:\n", "bad.py:2: SyntaxError: "),
    "import": ("from reference.mmu import Mum\n", "bad.py:1: ImportError: cannot import name 'Mum'"),
    "no_module": ("\nimport no_such_module\n", "bad.py:2: ModuleNotFoundError: "),
    "not_beside": ("from .nowhere import Base\n", "bad.py:1: ModuleNotFoundError: "),
    "name": ("x = 1\nPgtabel\n", "bad.py:2: NameError: "),
    "exit": ("raise SystemExit(0)\n", "bad.py:1: SystemExit: 0"),
    "no_declaration": ("x = 1\n", "bad.py:1: no declaration: end the module with CANDIDATE = Candidate("),
    "no_candidate": ("\nCANDIDATE = 'mine'\n", "bad.py:2: CANDIDATE has the type str: it must be a Candidate("),
    "again": (MINE + MINE.splitlines()[-1], "bad.py:15: a second declaration, the first is in line 14: keep one"),
    "two": (MINE + "CANDIDATE = (CANDIDATE, CANDIDATE)\n", "bad.py:15: a second declaration, the first is in line 14"),
    "tuple": (MINE.replace("= Candidate", "= 2 * (Candidate").rstrip() + ",)\n", "bad.py:14: 2 declarations: "),
    "empty": ("CANDIDATE = ()\n", "bad.py:1: CANDIDATE is empty"),
    "arguments": (MINE.replace(', "a test"', ""), "bad.py:14: TypeError: "),
    "class": (MINE.replace("PgtableMine, ", "1, "), "bad.py:14: CANDIDATE: pgtable is 1: it must be a class"),
    "swapped": (
        MINE.replace("PgtableMine, MmuMine", "MmuMine, PgtableMine"),
        "first a class that derives from Pgtable",
    ),
    "misspelt": (
        MINE.replace("def stage2_flush_dcache", "def stage2_flush_dcahe"),
        "bad.py:6: stage2_flush_dcahe over",
    ),
    "signature": (MINE.replace("(self, addr, size)", "(self, addr)"), "bad.py:6: stage2_flush_dcache cannot take"),
    "unchanged": (MINE.replace("stage2_flush_dcache(", "__init__("), "overrides nothing of rfc-v1-3"),
    "not_utf8": ("x = '\udcff'\n", "bad.py:1: SyntaxError: "),
    "null": ("x = 1\0\n", "bad.py:1: SyntaxError: "),
}


@pytest.mark.parametrize("name", CANNOT)
def test_a_file_without_a_valid_candidate_is_refused_in_one_line(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = CANNOT[name]
    if text is not None:
        (here / "bad.py").write_bytes(text.encode("utf-8", "surrogateescape"))
    for option in ("--candidate", "--reference"):
        code = cli.main(["run", option, "./bad.py", "p.s2"])
        refused((code, *capsys.readouterr()), said)


ENDING = {
    "exit": ("import os\n\nos._exit(0)\n", "bad.py:3: the process that imported it ended with exit code 0; "),
    "signal": ("import os\n\nos.kill(os.getpid(), 9)\n", "bad.py:3: the process that imported it ended by SIGKILL; "),
    "program": ("import os\nos.execv('/bin/true', ['true'])\n", "bad.py:2: the process that imported it ended with "),
    "below": ("def f():\n    g()\n\ndef g():\n    __import__('os').abort()\n\nf()\n", "bad.py:5: the process that "),
    "ctrl_c": ("raise KeyboardInterrupt\n", "bad.py:1: the process that imported it ended with exit code 130; "),
    "other": ("class E(BaseException):\n    pass\n\nraise E(1)\n", "bad.py:4: E: 1; the file must import without"),
}


@pytest.mark.parametrize("name", ENDING)
def test_a_file_that_ends_the_process_is_refused_in_one_line(here: Path, name: str) -> None:
    """Check it for the file itself, and for a file beside it that it imports."""
    text, said = ENDING[name]
    (here / "bad.py").write_text(text)
    (here / "user.py").write_text("from .bad import Base\n")
    for file in ("./bad.py", "./user.py"):
        done = process("run", "--candidate", file, "p.s2", cwd=here, stdout=subprocess.PIPE)
        refused((done.returncode, done.stdout, done.stderr), said)


WITH_ENDING = {
    "fuzz": ("fuzz", "--candidate", "./bad.py"),
    "campaign": ("campaign", "c", "--candidate", "./bad.py", "--hours", "0.05", "--workers", "1"),
    "minimize": ("minimize", "--candidate", "./bad.py", "p.s2"),
    "cover": ("cover", "--candidate", "./bad.py", "p.s2"),
    "expect": ("expect", "./bad.py"),
}


@pytest.mark.parametrize("command", WITH_ENDING)
def test_every_command_refuses_a_file_that_ends_the_process(here: Path, command: str) -> None:
    (here / "bad.py").write_text("import os\n\nos._exit(5)\n")
    done = process(*WITH_ENDING[command], cwd=here, stdout=subprocess.PIPE)
    refused(
        (done.returncode, done.stdout, done.stderr), "bad.py:3: the process that imported it ended with exit code 5"
    )


@pytest.mark.parametrize("command", [name for name in WITH_ENDING if name != "expect"])
def test_every_command_reports_kernel_code_that_ends_its_process(here: Path, command: str) -> None:
    left = MINE.replace("super().stage2_flush_dcache(addr, size)", "__import__('os')._exit(5)")
    (here / "bad.py").write_text(left)
    (here / "p.s2").write_text("s2fuzz 1\nvm\nslot a size=64K backing=anon\ncpu0 read a+0\n")
    done = process(*WITH_ENDING[command], cwd=here, stdout=subprocess.PIPE)
    said = "the Python code of the candidate ended its process with exit code 5, in kvm_"
    assert (done.returncode, done.stderr.count(said)) == (2, 1), done.stderr


def test_one_trial_is_enough_until_a_file_of_the_folder_changes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check it for a file that imports another one; a fresh ``sys.modules`` stands for another process."""
    trials: list[str] = []
    monkeypatch.setattr(files, "try_import", lambda work, watched: trials.append("another"))
    # Restored afterwards.
    monkeypatch.setenv("S2FUZZ_IMPORTED", "{}")
    counts: list[int] = []
    for text in (MINE, MINE, f"{MINE}# Changed.\n"):
        if (here / "mine.py").read_text() != text:
            (here / "mine.py").write_text(text)
        for module in [name for name in sys.modules if name.startswith(OUTSIDE)]:
            monkeypatch.delitem(sys.modules, module)
        files.load(files.path_of("./top.py"), "./top.py")
        counts.append(len(trials))
    assert counts == [1, 1, 2]


def test_the_standard_input_is_not_read_twice(here: Path) -> None:
    (here / "asks.py").write_text(f"name = input()\n{MINE}print('imported by', name)\n")
    done = process("run", "--candidate", "./asks.py", "p.s2", cwd=here, stdout=subprocess.PIPE, input="me\n")
    assert (done.returncode, done.stdout.count("imported by me")) == (1, 1), done.stderr


def test_a_mistyped_name_gets_a_suggestion(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.py").write_text("from reference.mmu import Mum\n")
    code = cli.main(["run", "--candidate", "bad.py", "p.s2"])
    refused((code, *capsys.readouterr()), "did you mean 'Mmu'?")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./folder.py", "candidate ./folder.py: a directory (a kernel tree is `tree:./folder.py`); "),
        ("./", "candidate ./: a directory (a kernel tree is `tree:./`); "),
        ("./p.s2", "candidate ./p.s2: its name does not end in .py; "),
        ("./fifo.py", "candidate ./fifo.py: not a regular file; "),
        ("./loop.py", "candidate ./loop.py: "),
    ],
)
def test_a_path_that_is_no_file_is_refused(
    here: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "folder.py").mkdir()
    os.mkfifo(here / "fifo.py")
    (here / "loop.py").symlink_to(here / "loop.py")
    code = cli.main(["run", "--candidate", name, "p.s2"])
    refused((code, *capsys.readouterr()), said)


def test_an_import_that_fails_beside_the_file_is_named(here: Path) -> None:
    (here / "mine.py").write_text(MINE.replace("pass", "pas"))
    with pytest.raises(RefusedCandidateError, match=r"^mine\.py:11: NameError: "):
        candidate.get("./top.py")


def test_a_mistake_in_the_python_code_is_no_finding(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.py").write_text(MINE.replace("(addr, size)\n", "(adr, size)\n", 2))
    assert cli.main(["run", "--candidate", "./bad.py", "p.s2"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("s2fuzz: bad.py:7: NameError: name 'adr' is not defined (did you mean 'addr'?)")


def test_run_prints_the_version_and_its_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--candidate", "mine.py", "p.s2"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("p.s2: ./mine.py against original: regression")
    first, second = err.splitlines()
    assert first == "s2fuzz: ./mine.py (on rfc-v1-3) overrides stage2_flush_dcache; adds nothing"
    assert second.startswith("s2fuzz: ./mine.py runs interpreted")
    assert "`s2fuzz build --candidate ./mine.py`" in second or "S2FUZZ_PURE" in second


def test_a_file_as_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--reference", "mine.py", "--candidate", "top.py", "--json", "p.s2"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["changes"][0]["on"] == ["./mine.py"]


def test_findings_of_a_file_replay_from_the_users_directory_and_by_their_command(here: Path) -> None:
    """Check it through every process: the engine, the filer's replay, and the minimiser's replay."""
    done = process("fuzz", "--candidate", "./mine.py", "--programs", "60", cwd=here, stdout=subprocess.PIPE)
    assert done.returncode == 1
    assert folder_name("./mine.py", "original") == "mine.py"
    path = next((here / "findings" / "mine.py").glob("regression-dcache*.s2"))
    said = comments_of(path.read_text())
    assert said["candidate"] == "./mine.py"
    assert f"--candidate {here}/mine.py --trace {path}" in said["reproduce"]
    done = process("minimize", str(path), "-o", "small.s2", cwd=here, stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert comments_of((here / "small.s2").read_text())["candidate"] == "./mine.py"
    command = said["reproduce"].partition("#")[0].split()[1:]
    done = process(*command, cwd=here.parent, stdout=subprocess.PIPE)
    assert done.returncode == 1
    assert said["signature"] in done.stdout


COMMANDS = {
    "hypothesis": ("fuzz", "--candidate", "./top.py", "--engine", "hypothesis", "--programs", "20"),
    "cover": ("cover", "--candidate", "./top.py", "p.s2"),
    "trace": ("run", "--trace", "--candidate", "./top.py", "p.s2"),
    "corpus": ("corpus", "minimize", "--corpus", "c", "--candidate", "./top.py"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_accepts_a_file(here: Path, name: str) -> None:
    if name == "corpus":
        assert process("corpus", "add", "--corpus", "c", "p.s2", cwd=here, stdout=subprocess.PIPE).returncode == 0
    done = process(*COMMANDS[name], cwd=here, stdout=subprocess.PIPE)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    if name == "cover":
        assert "mine.py" in done.stdout
        assert "top.py" in done.stdout


def test_a_campaign_runs_the_file(here: Path) -> None:
    """Use a file with a mistake, which ends the campaign at the first program instead of by time."""
    (here / "bad.py").write_text(MINE.replace("(addr, size)\n", "(adr, size)\n", 2))
    arguments = ("campaign", "c", "--candidate", "bad.py", "--hours", "0.05", "--workers", "1")
    done = process(*arguments, cwd=here, stdout=subprocess.PIPE)
    assert done.returncode == 2
    assert "bad.py:7: NameError: name 'adr' is not defined" in done.stderr


def test_a_cluster_does_not_have_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["campaign", "c", "--candidate", "./mine.py", "--scheduler", "tcp://127.0.0.1:1"])
    refused((code, *capsys.readouterr()), "--candidate ./mine.py: a file is on this machine only")


def test_the_digest_covers_the_file_and_its_imports(here: Path) -> None:
    """Check imported modules, not only those of the candidate's classes."""
    (here / "helper.py").write_text("LIMIT = 1\n")
    (here / "user.py").write_text("from .helper import LIMIT\n" + MINE)
    before = digests_of("original", "./user.py")
    (here / "helper.py").write_text("LIMIT = 2\n")
    changed = digests_of("original", "./user.py")
    assert (changed.candidate != before.candidate, changed.reference) == (True, before.reference)
    (here / "user.py").write_text("from .helper import LIMIT\n" + MINE + "\n")
    assert digests_of("original", "./user.py").candidate != changed.candidate


def test_a_plain_store_in_a_file_is_seen(here: Path) -> None:
    (here / "plain.py").write_text(MINE.replace("super().stage2_flush_dcache(addr, size)", "self.mem[addr] = 0"))
    assert writes_once(candidate.get("./mine.py").pgtable)
    assert not writes_once(candidate.get("./plain.py").pgtable)


def test_a_kernel_tree_has_a_name_that_works_in_other_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert candidate.anywhere("tree:../linux") == f"tree:{tmp_path.parent}/linux"
    assert candidate.portable("tree:../linux:sanitize") == f"tree:{tmp_path.parent}/linux:sanitize"
    (tmp_path / "repository").mkdir()
    assert candidate.anywhere("tree:repository@HEAD~1") == f"tree:{tmp_path}/repository@HEAD~1"
    assert candidate.portable("tree:.@v6.12:sanitize") == f"tree:{tmp_path}@v6.12:sanitize"
    assert candidate.anywhere("rfc-v1") == candidate.portable("rfc-v1") == "rfc-v1"
