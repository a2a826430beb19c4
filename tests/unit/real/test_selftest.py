# SPDX-License-Identifier: GPL-2.0-only
"""Programs exported as C files: self-contained, with their expected outcomes; programs that cannot be exported."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.language.text import load, parse
from fuzz.real import initrd
from fuzz.real.errors import UnplayableError
from fuzz.real.selftest import selftest

from ..console import ROOT, Result, in_process

PROGRAMS: Final = (
    "regressions/livelock-two-levels",
    "regressions/m1-cache-empty",
    "seeds/copy-on-write",
    "seeds/thp-blocks",
)


def text_of(name: str) -> str:
    """Return the C file of a program of the corpus."""
    path = ROOT / "corpus" / f"{name}.s2"
    return selftest(load(str(path)), candidate.get("v5.14"), str(path))


def test_an_access_that_hangs_is_expected_to_succeed() -> None:
    text = text_of("regressions/livelock-two-levels")
    assert '{ "cpu0 read a+0", "ok", "0" },\n\t{ "cpu0 fetch a+0", "ok", "" },\n' in text
    assert "#define WARNING_IS_EXPECTED 0\n" in text
    assert " *     slot a ipa=1G size=1G backing=hugetlb1g\n" in text
    assert "#define WARNING_IS_EXPECTED 1\n" in text_of("regressions/m1-cache-empty")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_c_file_is_self_contained(name: str, tmp_path: Path) -> None:
    text = text_of(name)
    assert '#include "' not in text
    assert text.count("SPDX-License-Identifier") == 1
    assert len(re.findall(r"^int main\(", text, re.MULTILINE)) == 1
    compiler = shutil.which(initrd.COMPILER)
    if compiler is None:
        pytest.skip(f"no {initrd.COMPILER} on PATH (Debian: gcc-aarch64-linux-gnu)")
    (tmp_path / "test.c").write_text(text)
    command = [compiler, "-static", "-O1", "-Wall", "-Werror", "-o", str(tmp_path / "test"), str(tmp_path / "test.c")]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def test_device_memory_is_refused() -> None:
    """Refuse it because a user's machine has none to spare."""
    program = parse("s2fuzz 1\nvm\nslot a size=2M backing=device\ncpu0 read a+0\n")
    with pytest.raises(UnplayableError, match="device memory"):
        selftest(program, candidate.get("v5.14"), "x.s2")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys, "export", "--selftest")
    path = str(ROOT / "corpus/regressions/livelock-two-levels.s2")
    result: Result = run(path)
    assert result == (0, text_of("regressions/livelock-two-levels"), "")
    assert run(path, "-o", str(tmp_path / "x.c")) == (0, "", "")
    assert (tmp_path / "x.c").read_text() == result[1]
    code, out, err = run(str(ROOT / "corpus/seeds/hyp.s2"))
    assert (code, out) == (4, "")
    assert "it has no operation that user space can cause; user space cannot play it" in err
