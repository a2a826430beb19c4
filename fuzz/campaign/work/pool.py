# SPDX-License-Identifier: GPL-2.0-only
"""The pool that does units, each in its own process, on this machine or on a cluster.

Both forms are a `concurrent.futures.Executor` that runs `fuzz.campaign.work.worker.do_unit`. The local form is a pool
of threads, each with one supervised process: the thread only reads from a pipe, the supervisor replaces a process that
is killed, and all processes end with the coordinator, however it ends.
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from ...distribution import how_to_install
from ...engines.unit import Unit
from ..store.database import CampaignError
from ..store.outcomes import Notice, UnitOutcome
from .worker import do_unit

# Seconds in which a cluster must answer.
_CLUSTER_TIMEOUT: Final = 15.0
# Seconds between two checks of the cluster's size.
_LOOK_EVERY: Final = 3.0
_ADDRESS: Final = re.compile(r"(?:[a-z]+://)?[^/\s]+:[0-9]+")


class Pool(Protocol):
    """A pool that does units."""

    def slots(self) -> int:
        """Return the number of units that the pool can currently do concurrently."""

    def submit(self, number: int, unit: Unit) -> "Future[UnitOutcome]":
        """Submit a unit."""

    def lost(self, error: BaseException) -> str:
        """Return why a unit was lost, if the pool is the reason; "" for any other error."""

    def close(self) -> None:
        """End the pool without waiting."""


class Local:
    """A pool of processes on this machine.

    :param workers: number of concurrent units; None: one per core
    :param notice: called with their progress
    """

    def __init__(self, workers: int | None, notice: Callable[[Notice], None]) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self.notice = notice
        self.executor: Executor = ThreadPoolExecutor(self.workers, thread_name_prefix="worker")

    def slots(self) -> int:
        return self.workers

    def submit(self, number: int, unit: Unit) -> "Future[UnitOutcome]":
        return self.executor.submit(do_unit, number, unit, self.notice)

    def lost(self, error: BaseException) -> str:
        return ""

    def close(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)


def connected(address: str) -> Any:
    """Return a client of the Dask scheduler at an address.

    :raises CampaignError: Dask is not installed, or no scheduler answers
    """
    if not _ADDRESS.fullmatch(address):
        raise CampaignError(f"--scheduler {address}: not an address; give tcp://HOST:PORT of a Dask scheduler")
    try:
        from distributed import Client
    except ImportError:
        wrong = f"Dask is not installed; {how_to_install('cluster')}"
        raise CampaignError(f"--scheduler {address}: {wrong}") from None
    # s2fuzz reports its failures itself.
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        make: Any = Client
        return make(address, timeout=_CLUSTER_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        wrong = " ".join(str(error).split())[:120]
        wanted = "the address of a running Dask scheduler of the same version"
        raise CampaignError(f"--scheduler {address}: {wrong}; give {wanted}") from None


def disconnect(client: Any) -> None:
    """Close a client of a Dask scheduler; a second call does nothing."""
    # The connection may be gone already.
    with suppress(OSError, TimeoutError, RuntimeError):
        client.close(timeout=1)


@contextmanager
def client_of(address: str) -> Iterator[Any]:
    """Connect to the Dask scheduler at an address, and disconnect at the end; None if the address is "".

    :raises CampaignError: as `connected`
    """
    if not address:
        yield None
        return
    client = connected(address)
    try:
        yield client
    finally:
        disconnect(client)


class Cluster:
    """Workers of a Dask cluster, which have s2fuzz installed.

    :param client: of its scheduler; `close` disconnects it
    :param address: of the scheduler
    :param workers: maximum number of concurrent units; None: the number of its threads
    :param report: called once, by `slots`, with an unexpected error of reading the size of the cluster
    """

    def __init__(self, client: Any, address: str, workers: int | None, report: Callable[[Exception], None]) -> None:
        self.client = client
        self.address = address
        self.workers = workers
        self.report = report
        # The first unexpected error of the thread that counts, and whether `slots` has reported it.
        self.failure: Exception | None = None
        self.reported = False
        self.threads = 0
        self.closed = threading.Event()
        self.executor: Executor = self.client.get_executor(pure=False)
        self._count()
        # Not in the main thread: this blocks while the scheduler does not answer.
        threading.Thread(target=self._watch, name="cluster", daemon=True).start()

    def _watch(self) -> None:
        while not self.closed.wait(_LOOK_EVERY):
            self._count()

    def _count(self) -> None:
        """Read the size of the cluster; 0 while it does not answer."""
        try:
            self.threads = sum(self.client.nthreads().values())
        except (OSError, RuntimeError):
            # No connection, or its loop is closed: the cluster may return; if it does not, the client closes itself.
            self.threads = 0
        except Exception as error:
            self.threads = 0
            self.failure = self.failure or error

    def slots(self) -> int:
        if self.failure is not None and not self.reported:
            self.reported = True
            self.report(self.failure)
        if self.client.status == "closed":
            raise CampaignError(f"--scheduler {self.address}: it is gone; start a Dask scheduler")
        if self.client.status != "running":
            return 0
        return min(self.threads, self.workers or self.threads)

    def submit(self, number: int, unit: Unit) -> "Future[UnitOutcome]":
        return self.executor.submit(do_unit, number, unit)

    def lost(self, error: BaseException) -> str:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return "the workers that ran it were killed"
        if isinstance(error, CancelledError):
            return "the scheduler lost it"
        if isinstance(error, ImportError):
            return f"a worker lacks a module: {error}"
        return ""

    def close(self) -> None:
        self.closed.set()
        disconnect(self.client)
