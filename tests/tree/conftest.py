# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for caches and processes of trees: a test has a cache of its own, or uses the common one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import candidate
from candidate.tree.runtime.pool import POOL


@pytest.fixture
def opened_anew() -> Iterator[None]:
    """Open trees again, because their libraries are in another cache than those of earlier tests."""
    opened = dict(candidate._TREES)
    candidate._TREES.clear()
    yield
    candidate._TREES.clear()
    candidate._TREES.update(opened)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened_anew: None) -> Path:
    """Use an empty cache; return the folder of its libraries, which does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "s2fuzz" / "trees"


@pytest.fixture(scope="session")
def common_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the value of XDG_CACHE_HOME for all tests that build the same libraries."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def common_cache(common_home: Path, monkeypatch: pytest.MonkeyPatch, opened_anew: None) -> Path:
    """Use the cache of all tests that build the same libraries; return the folder of its libraries."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(common_home))
    return common_home / "s2fuzz" / "trees"


@pytest.fixture(scope="module", autouse=True)
def no_process_stays() -> Iterator[None]:
    """End the processes of trees after each module: an idle process keeps the memory that it has touched."""
    yield
    POOL.forget()
