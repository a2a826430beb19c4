# SPDX-License-Identifier: GPL-2.0-only
"""Tables as a folder: its script asks QEMU without s2fuzz, and reports unexpected answers."""

import os
import subprocess
from pathlib import Path

import pytest

import candidate
from fuzz.execution.refusal import UnmodelledError
from fuzz.hardware import layout
from fuzz.hardware.folder import NoTablesError, tables_folder
from fuzz.hardware.folder_texts import KNOWN
from fuzz.hardware.text import load
from fuzz.language.text import load as load_program
from fuzz.language.text import parse
from reference.kvm import kvm
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.services.errors import ENOMEM

from ..unit.console import MISSING_CLEAN, ROOT, in_process

SEED = ROOT / "corpus" / "seeds" / "thp-blocks.s2"
ONE_READ = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 read a+0\n"
# Each VM has tables.
TWO_VMS = """\
s2fuzz 1
vm granule=16K vms=2
slot a size=2M backing=anon
slot b size=2M backing=anon vm=1
cpu0 read a+0
cpu2 read b+0
"""


def asked(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the script of a folder."""
    return subprocess.run([folder / "start.sh"], capture_output=True, text=True, check=False)


def export(capsys: pytest.CaptureFixture[str], program: Path, folder: Path, *more: str) -> None:
    code, out, err = in_process(capsys, "export")("--qemu", str(program), "-o", str(folder), *more)
    assert (code, out, err) == (0, "", "")


@pytest.mark.parametrize("text", [MISSING_CLEAN, TWO_VMS], ids=["one VM", "two VMs of 16K pages"])
def test_qemu_answers_as_expected(
    installed: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "p.s2"
    program.write_text(text)
    folder = tmp_path / "made" / "tables"
    export(capsys, program, folder)
    before = sorted(each.name for each in folder.iterdir())
    number = len((folder / "questions.txt").read_text().splitlines())
    ended = asked(folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{number} answers: 0 other than expected, 0 known deviations\n"
    assert sorted(each.name for each in folder.iterdir()) == before


def test_a_changed_entry_is_reported(installed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(capsys, SEED, tmp_path)
    image = bytearray((tmp_path / "tables.bin").read_bytes())
    # The entry for the guest's second GiB.
    assert image[8] & 1
    image[8] = 0
    (tmp_path / "tables.bin").write_bytes(image)
    ended = asked(tmp_path)
    assert ended.returncode == 1
    assert "QEMU answers 0000000000000a0b, expected" in ended.stdout
    assert " read of 0x40000000: " in ended.stdout
    assert " 0 other than" not in ended.stdout


def test_a_known_deviation_is_no_difference(installed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(capsys, SEED, tmp_path)
    path = tmp_path / "questions.txt"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([f"f{first[1:]} {KNOWN}x)", *rest]) + "\n")
    ended = asked(tmp_path)
    assert ended.returncode == 0
    assert ended.stdout.endswith(": 0 other than expected, 1 known deviations\n")


def test_a_qemu_that_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(capsys, SEED, tmp_path)
    ended = subprocess.run(
        [tmp_path / "start.sh"],
        env={**os.environ, "S2FUZZ_QEMU": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "QEMU did not answer\n")


def test_tables_are_those_after_the_operation(tmp_path: Path) -> None:
    program = load_program(str(SEED))
    made = [tables_folder(candidate.get("v5.14"), program, "x.s2", after) for after in range(6)]
    # Nothing is mapped when the VM has been created.
    assert not any(made[0]["tables.bin"])
    assert len({each["tables.bin"] for each in made}) > 3
    assert b"creation of the VM\n" in made[0]["README.txt"]
    assert b"after    operation 3: cpu1 write a+3M\n" in made[3]["README.txt"]
    assert all(len(line) <= 72 for line in made[3]["README.txt"].decode().splitlines())
    # The text and the image have the same words.
    (tmp_path / "vm0.tables").write_bytes(made[5]["vm0.tables"])
    entries = load(str(tmp_path / "vm0.tables")).tables.entries
    words = memoryview(made[5]["tables.bin"]).cast("q").tolist()
    assert {index: word for index, word in enumerate(words) if word} == entries
    assert f"VTTBR_EL2  {layout.TABLES:#018x}".encode() in made[5]["README.txt"]


class NoPages(Mmu):
    """An mmu.c without memory for a root."""

    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        return -ENOMEM


def test_versions_without_tables() -> None:
    version = candidate.Candidate("no-pages", Pgtable, NoPages, "creation fails")
    with pytest.raises(NoTablesError, match=r"^no VM has tables after creation of the VM$"):
        tables_folder(version, parse(ONE_READ), "x.s2", 0)
    with pytest.raises(NoTablesError, match=r"^no-pages ends at creation of the VM$"):
        tables_folder(version, parse(ONE_READ), "x.s2", 1)
    splits = parse(ONE_READ.replace("vm\n", "vm split=2M\n").replace("anon", "thp log=on"))
    with pytest.raises(UnmodelledError, match=r"eager splitting of blocks \(split=\), which original does not have$"):
        tables_folder(candidate.get("original"), splits, "x.s2", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--qemu"], "s2fuzz: --qemu writes a folder; name it with -o FOLDER"),
        (["--events", "--after", "1"], "s2fuzz: --after: allowed with --qemu"),
        (["--qemu", "-o", "{}/new", "--after", "6"], f"s2fuzz: --after 6: {SEED} has 5 operations; name one of them"),
        (["--qemu", "-o", "{}"], "s2fuzz: -o {}: has files; name a new folder"),
        (["--qemu", "-o", "{}/file"], "s2fuzz: -o {}/file: File exists; name a folder that can be created and written"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    given = [each.replace("{}", str(tmp_path)) for each in arguments]
    code, out, err = in_process(capsys, "export")(str(SEED), *given)
    assert (code, out, err) == (2, "", message.replace("{}", str(tmp_path)) + "\n")
    assert not (tmp_path / "new").exists()
