# SPDX-License-Identifier: GPL-2.0-only
"""The size of a cluster: 0 while it does not answer, and unexpected errors are reported."""

import pytest

from fuzz.campaign.work import pool
from fuzz.campaign.work.pool import Cluster


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
    monkeypatch.setattr(pool, "connected", lambda address: client)
    # Count only when the test asks for it.
    monkeypatch.setattr(Cluster, "_watch", lambda self: None)
    reported = list[str]()
    cluster = Cluster("tcp://127.0.0.1:1", None, lambda error: reported.append(str(error)))
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
