# SPDX-License-Identifier: GPL-2.0-only
"""A cluster: one connection a session; its size is 0 while it does not answer, and unexpected errors are reported."""

from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.campaign import campaign
from fuzz.campaign.store.database import CampaignError
from fuzz.campaign.view.lines import NoOutput
from fuzz.campaign.work import pool
from fuzz.campaign.work.pool import Cluster
from fuzz.findings.accepted import Accepted

from .campaigns import SETTINGS


class Client:
    """A client of Dask whose answers are these, one for each question."""

    status = "running"

    def __init__(self, *answers: Exception | int) -> None:
        self.answers = list(answers)

    def nthreads(self) -> dict[str, int]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"worker": answer}

    def get_executor(self, pure: bool) -> None:
        """Return nothing: no unit is submitted."""

    def close(self, timeout: int) -> None:
        """Do nothing: there is no connection."""


def test_unexpected_errors_of_a_cluster_are_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = OSError("no connection"), TimeoutError(), AttributeError("first"), AttributeError("second")
    client = Client(3, *errors, 2)
    # Count only when the test asks for it.
    monkeypatch.setattr(Cluster, "_watch", lambda self: None)
    reported = list[str]()
    cluster = Cluster(client, "tcp://127.0.0.1:1", None, lambda error: reported.append(str(error)))
    sizes = [cluster.slots()]
    for _ in errors:
        cluster._count()
        sizes.append(cluster.slots())
        assert reported == (["first"] if len(sizes) > 3 else [])
    cluster._count()
    assert (cluster.slots(), cluster.slots()) == (2, 2)
    assert sizes == [3, 0, 0, 0, 0]
    assert reported == ["first"]
    cluster.close()


def test_a_new_campaign_connects_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """End the session before it begins: the workers of this cluster do nothing."""
    asked = list[str]()

    def connected(address: str) -> Client:
        asked.append(address)
        return Client(1)

    class RefusedError(Exception):
        pass

    def refuse() -> None:
        raise RefusedError

    monkeypatch.setattr(pool, "connected", connected)
    monkeypatch.setattr(Cluster, "_watch", lambda self: None)
    settings = replace(SETTINGS, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(RefusedError):
        campaign.run(tmp_path / "new", settings, Accepted(), NoOutput(), refuse)
    assert asked == [settings.scheduler]
    assert (tmp_path / "new").exists()


def test_a_wrong_address_leaves_no_campaign_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def connected(address: str) -> Client:
        raise CampaignError(f"--scheduler {address}: refused")

    monkeypatch.setattr(pool, "connected", connected)
    settings = replace(SETTINGS, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(CampaignError, match=r"^--scheduler .*: refused$"):
        campaign.run(tmp_path / "new", settings, Accepted(), NoOutput())
    assert not (tmp_path / "new").exists()
