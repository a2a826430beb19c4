# SPDX-License-Identifier: GPL-2.0-only
"""Checkouts with a fake build, of which only the names are real."""

import json
import shutil
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from fuzz.compilation import build
from fuzz.compilation.group import sources
from reference.compiled import choice as native

from ..console import ROOT

SUFFIX = EXTENSION_SUFFIXES[0]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the sources and add a fake build, of which only the names are real."""
    for package in ("reference", "candidate", "fuzz"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "build" / "native"
    monkeypatch.setattr(native, "HOME", tmp_path)
    monkeypatch.setattr(native, "FOLDER", folder)
    monkeypatch.setattr(native, "MANIFEST", folder / "manifest.json")
    monkeypatch.delenv("S2FUZZ_PURE", raising=False)
    for source in sources():
        shared = folder / "group-0" / source.replace(".py", SUFFIX)
        shared.parent.mkdir(parents=True, exist_ok=True)
        shared.touch()
    (folder / "group-0" / f"{native.LIBRARY}{SUFFIX}").touch()
    manifest = {
        "format": native.FORMAT,
        "suffix": SUFFIX,
        "mypyc": "0",
        "folder": "group-0",
        "sources": build.digests(sources()),
        "c": build.digests(native.c_sources()),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


@pytest.fixture
def building(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a checkout whose compiler only pretends to run."""

    def compiler(folder: Path, files: list[str], home: Path, thorough: bool = False) -> None:
        (folder / "out").mkdir()
        (folder / "out" / "made").write_text(" ".join(files))

    monkeypatch.setattr(build, "obstacle", lambda: "")
    monkeypatch.setattr(build, "run_compiler", compiler)
    for name in ("LOCK", "LOG", "CACHE"):
        monkeypatch.setattr(build, name, native.FOLDER / name.lower())
    return checkout
