# SPDX-License-Identifier: GPL-2.0-only
"""Entry points of many modules in one file, to which each module has a link."""

import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from fuzz.compilation.entries import NAME, combined, link
from reference.compiled.choice import LIBRARY

SUFFIX = EXTENSION_SUFFIXES[0]
MODULES = ("fuzz.checkers.backing", "fuzz.sides.backing", "reference.kernel")


def test_modules_with_the_same_last_name_are_in_two_files(tmp_path: Path) -> None:
    setuptools = pytest.importorskip("setuptools")
    made = [setuptools.Extension(name, []) for name in (LIBRARY, *MODULES)]
    built, layers = combined(made, tmp_path / "c")
    assert layers == [{"backing": MODULES[0], "kernel": MODULES[2]}, {"backing": MODULES[1]}]
    assert [extension.name for extension in built] == [LIBRARY, f"{NAME}0", f"{NAME}1"]
    text = Path(built[2].sources[0]).read_text()
    assert "PyInit_backing(void)" in text
    assert f'"{LIBRARY}.init_fuzz___sides___backing"' in text
    assert "kernel" not in text


@pytest.mark.parametrize("links", [True, False])
def test_each_module_finds_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    for number in range(2):
        (tmp_path / f"{NAME}{number}{SUFFIX}").write_text(str(number))
    link([{"backing": MODULES[0], "kernel": MODULES[2]}, {"backing": MODULES[1]}], tmp_path)
    for name, said in zip(MODULES, "010", strict=True):
        assert (tmp_path / f"{name.replace('.', '/')}{SUFFIX}").read_text() == said
    assert not list(tmp_path.glob(f"{NAME}*"))
