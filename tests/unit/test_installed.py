# SPDX-License-Identifier: GPL-2.0-only
"""An ordinary wheel, installed outside the checkout, is complete."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SHIPPED: Final = ("candidate", "corpus", "fuzz", "reference", "README.md", "LICENSE", "pyproject.toml", "setup.cfg")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a wheel; return the folder of its packages."""
    if not {"setuptools", "pip"} <= {each.name for each in distributions()}:
        pytest.skip("needs setuptools and pip")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    made = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run([*pip, *made], check=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    there = ["install", "--ignore-installed", "--no-deps", "--no-index", "--prefix", str(folder / "there"), str(wheel)]
    subprocess.run([*pip, *there], check=True, cwd=folder)
    shutil.rmtree(source)
    (packages,) = (folder / "there").glob("**/site-packages")
    return packages


def run(installed: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line of an installation in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-m", "fuzz", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def test_the_corpus_is_installed(installed: Path, tmp_path: Path) -> None:
    code = "from fuzz.distribution import *; print(corpus_folder(), home_folder())"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    corpus, home = map(Path, said.stdout.split())
    assert home == installed
    assert sorted(path.name for path in corpus.rglob("*.s2")) == sorted(
        path.name for path in (ROOT / "corpus").rglob("*.s2")
    )


def test_an_installation_judges_and_fuzzes(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "corpus" / "regressions" / "dcache-thp-route.s2", tmp_path / "x.s2")
    done = run(installed, tmp_path, "run", "--candidate", "rfc-v1", "x.s2")
    assert done.returncode == 1
    assert "memory cache filled under" in done.stdout
    done = run(installed, tmp_path, "fuzz", "--candidate", "rfc-v1", "--programs", "20", "--seed", "1", "--no-minimize")
    assert done.returncode in (0, 1), done.stderr


def test_promote_asks_where_to_write(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "corpus" / "regressions" / "dcache-thp-route.s2", tmp_path / "x.s2")
    done = run(installed, tmp_path, "promote", "--candidate", "rfc-v1", "x.s2")
    assert done.returncode == 2
    assert "name the folder to write to with --out" in done.stderr
    (tmp_path / "tests").mkdir()
    done = run(installed, tmp_path, "promote", "--candidate", "rfc-v1", "x.s2", "--out", "tests", "--name", "kept")
    assert done.returncode == 0, done.stderr
    assert "expect rfc-v1" in (tmp_path / "tests" / "kept.s2").read_text()


def test_instructions_for_missing_packages_need_no_checkout(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", "from fuzz.distribution import how_to_install; print(how_to_install('web'))"]
    said = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "pipx install --force 'WHEEL[web]'" in said
    assert "checkout" not in said
