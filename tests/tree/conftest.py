# SPDX-License-Identifier: GPL-2.0-only
"""Each test has a cache of its own, unless it asks for the common one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candidate.tree.runtime import pool


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; returns where libraries would be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "s2fuzz" / "trees"


@pytest.fixture(scope="session")
def common_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The value of XDG_CACHE_HOME for all tests that build the same."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def common_cache(common_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of all tests that build the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(common_home))
    return common_home / "s2fuzz" / "trees"


@pytest.fixture(scope="module", autouse=True)
def no_process_stays() -> Iterator[None]:
    """No process of a tree outlives the module that started it: an idle one keeps what it has touched of its memory."""
    yield
    pool.forget()
