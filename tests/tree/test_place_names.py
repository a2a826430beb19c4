# SPDX-License-Identifier: GPL-2.0-only
"""Places show a tree's function by its kernel name, even if native/ has renamed it to put a wrapper in its place."""

import subprocess
from pathlib import Path
from typing import Final

from candidate.tree.runtime.code_places import CodePlaces

SOURCE: Final = "int counter;\nvoid real_mark_page_dirty(void)\n{\n\tcounter++;\n}\n"


def test_a_function_that_native_has_renamed(tmp_path: Path) -> None:
    (tmp_path / "kvm_main.c").write_text(SOURCE)
    command = ["gcc", "-g", "-shared", "-fPIC", "-o", "tree.so", "kvm_main.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    lines = subprocess.run(["nm", tmp_path / "tree.so"], capture_output=True, text=True, check=True).stdout
    (start,) = (int(line.split()[0], 16) for line in lines.splitlines() if line.endswith(" T real_mark_page_dirty"))
    places = CodePlaces(tmp_path / "tree.so")
    place = places.place((start + 1,))
    places.close()
    assert place.function == place.chain() == "mark_page_dirty"
    assert place.at.startswith("mark_page_dirty (kvm_main.c:")
