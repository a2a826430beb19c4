# SPDX-License-Identifier: GPL-2.0-only
"""Replays programs in fresh processes and files those that show their finding, beside everything else."""

import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from ..findings.found import Found
from ..findings.store import Store
from ..language.program import ProgramError
from ..language.text import parse
from .findings import FILED, UNREPLAYED, Pending, Replayed


class Filer:
    """A thread that replays and files. The process that replays ends with it.

    :param folder: where findings are kept, an existing directory
    :param tell: called, in that thread, with what came of each program
    """

    def __init__(self, folder: Path, reference: str, candidate: str, tell: Callable[[Replayed], None]) -> None:
        self.folder = folder
        self.versions = (reference, candidate)
        self.tell = tell
        self.queue: SimpleQueue[Pending | None] = SimpleQueue()
        self.waiting = 0
        self.anew = threading.Event()
        # Whoever waits for Ctrl-C's end does not wait for a program that hangs: what is pending stays so.
        self.thread = threading.Thread(target=self._work, name="filer", daemon=True)
        self.thread.start()

    def ask(self, pending: Pending) -> None:
        """Have a program replayed."""
        self.waiting += 1
        self.queue.put(pending)

    def other_code(self) -> None:
        """What is under test has changed: processes that have it loaded already are of no use."""
        self.anew.set()

    def close(self, seconds: float) -> None:
        """End the thread after what it is at, or leave it after so many seconds."""
        self.queue.put(None)
        self.thread.join(seconds)

    def _work(self) -> None:
        with Store(self.folder, *self.versions) as store:
            while (pending := self.queue.get()) is not None:
                if self.anew.is_set():
                    self.anew.clear()
                    store.close()
                self.tell(file(store, self.folder, pending))


def file(store: Store, folder: Path, pending: Pending) -> Replayed:
    """Replay a program and file it if it shows its finding.

    :param folder: of the store, below that of the campaign
    """
    try:
        program = parse(pending.text)
    except ProgramError as error:
        return Replayed(pending, UNREPLAYED, f"no program: {error}", "", 0)
    found = Found(pending.kind, pending.signature, pending.reason, program, pending.number, pending.at)
    store.trouble = ""
    kept = store.offer(found, pending.seed)
    if store.trouble:
        return Replayed(pending, UNREPLAYED, "", "", 0, store.trouble)
    if kept is None:
        lost = store.lost.get((pending.kind, pending.signature))
        reason = lost.reason if lost is not None else pending.reason
        return Replayed(pending, UNREPLAYED, reason, "", len(program.operations))
    path = str(kept.path.relative_to(folder.parent)) if kept.path else ""
    return Replayed(pending, FILED, kept.reason, path, len(kept.program.operations))
