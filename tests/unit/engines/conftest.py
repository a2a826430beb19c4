# SPDX-License-Identifier: GPL-2.0-only
"""The session of the random engine whose files several tests read."""

import pytest

from fuzz.engines.summary import Summary

from .random_session import session


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Run a session that writes files."""
    return session(out=tmp_path_factory.mktemp("findings"))
