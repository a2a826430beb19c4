# SPDX-License-Identifier: GPL-2.0-only
"""The filer: a thread that replays programs in fresh processes and files those that show their finding."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from candidate.tree import TreeError

from ...execution.mistakes import CandidateMistakeError
from ...files import write_atomically
from ...findings.found import file_name
from ...findings.record import file_text
from ...findings.replay import OTHER_TREE, Replayer, not_judged
from ...findings.store import Store, noted
from ...judging.finding import Finding
from ...language.program import Program, ProgramError
from ...language.text import print_program
from ..store.code import Code, digests_of
from ..store.findings import FILED, GONE, PENDING, UNREPLAYED, Pending, Replayed
from .file_minimizing import MinimizedFile, ToMinimize, minimize_file

# Seconds that writing a file may take on a slow disk.
_WRITE_TIMEOUT: Final = 60.0
# Number of attempts to replay a program while no process does it, and seconds between two of them, multiplied by the
# number of attempts so far.
_MAX_TRIES: Final = 5
_RETRY_DELAY: Final = 1.0


class FilerEndedError(Exception):
    """The result of a replay is no longer wanted: nothing is to be written."""


class CodeChangedError(Exception):
    """The code under test changed meanwhile: the result of the replay is meaningless."""


class NoReplayError(Exception):
    """No process has replayed a program, for a reason that has nothing to do with the program."""


class CheckedReplayer(Replayer):
    """A replayer for one version of the code.

    :param code: that version
    :param look: returns the current code; None: it cannot be compiled
    :param ending: set when nothing is to be written any more
    :param busy: set during a replay
    """

    def __init__(
        self,
        code: Code,
        look: Callable[[], Code | None],
        ending: threading.Event,
        busy: threading.Event,
    ) -> None:
        super().__init__()
        self.code = code
        self.look = look
        self.ending = ending
        self.busy = busy

    def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
        """Replay, as in the base class.

        :raises CodeChangedError: the sources differ at the end of the replay
        :raises FilerEndedError: *ending* is set by then
        :raises NoReplayError: no process could be started, or each was lost
        """
        shown = self.shows_unchecked(program, reference, candidate)
        if self.look() != self.code:
            raise CodeChangedError
        return shown

    def shows_unchecked(self, program: str, reference: str, candidate: str) -> list[Finding]:
        """Replay without checking the sources; the caller replays the final result again with `shows`.

        :raises FilerEndedError: *ending* is set by then
        :raises NoReplayError: no process could be started, or each was lost
        """
        self.busy.set()
        try:
            shown = [] if self.ending.is_set() else super().shows(program, reference, candidate)
        finally:
            self.busy.clear()
        if self.ending.is_set():
            raise FilerEndedError
        for each in shown:
            # The caller notices a tree that has changed.
            if each.signature != OTHER_TREE and (why := not_judged(each)):
                raise NoReplayError(why)
        return shown


class Filer:
    """A thread that replays and files programs. Its replaying process ends with it.

    Programs are replayed only on the code that they were found on. While no program waits, filed programs are minimised
    if requested.

    :param folder: an existing directory for the findings
    :param tell: called in that thread with the outcome of each replay and of each minimisation

    *failure*: the mistake of ours that ended the thread
    """

    def __init__(
        self, folder: Path, reference: str, candidate: str, tell: Callable[[Replayed | MinimizedFile], None]
    ) -> None:
        self.folder = folder
        self.versions = (reference, candidate)
        self.tell = tell
        self.queue: SimpleQueue[tuple[Pending, Code, float] | ToMinimize | None] = SimpleQueue()
        # Database rows of the replays requested and not yet answered; used by the requesting thread only.
        self.waiting: set[int] = set()
        # Used by the replaying thread only: the code that the store is for, and when the sources were last checked.
        self.store: Store | None = None
        self.code: Code | None = None
        self.looked = 0.0
        # Findings to be minimised, keyed by file.
        self.to_minimise: dict[str, ToMinimize] = {}
        self.ending = threading.Event()
        self.busy = threading.Event()
        self.failure: Exception | None = None
        # A daemon, so that Ctrl-C does not wait for a program that hangs: its replay stays pending.
        self.thread = threading.Thread(target=self._work, name="filer", daemon=True)
        self.thread.start()

    def ask(self, pending: Pending, code: Code) -> None:
        """Request the replay of a program, unless it is already requested.

        :param code: that the program was found on
        """
        if pending.id not in self.waiting:
            self.waiting.add(pending.id)
            self.queue.put((pending, code, time.monotonic()))

    def minimize_later(self, wanted: ToMinimize) -> None:
        """Request that the program of a filed finding is minimised when no replay waits."""
        self.queue.put(wanted)

    def forget(self, replayed: Replayed) -> None:
        """Forget a replay whose outcome is recorded, and delete its copy in gone/."""
        self.waiting.discard(replayed.pending.id)
        if replayed.state != GONE:
            gone_path(self.folder, replayed.pending).unlink(missing_ok=True)

    def close(self, seconds: float) -> None:
        """End the thread: it finishes the file that it is writing and replays nothing more.

        If it is still replaying after *seconds* seconds, it is abandoned and writes nothing.
        """
        self.ending.set()
        self.queue.put(None)
        self.thread.join(seconds)
        if not self.busy.is_set():
            self.thread.join(_WRITE_TIMEOUT)

    def _work(self) -> None:
        try:
            while (asked := self._next()) is not None and not self.ending.is_set():
                if isinstance(asked, ToMinimize):
                    self.to_minimise[asked.file] = asked
                else:
                    self.tell(self._replayed(*asked))
        except FilerEndedError:
            pass
        except Exception as error:
            self.failure = error
        finally:
            self._drop()

    def _next(self) -> tuple[Pending, Code, float] | ToMinimize | None:
        """Wait for the next request, and minimise programs meanwhile."""
        while self.to_minimise and self.queue.empty() and not self.ending.is_set():
            wanted = min(self.to_minimise.values(), key=lambda each: each.weight)
            minimized = self._minimize(wanted)
            if minimized is not None:
                self.tell(minimized)
            if minimized is not None or self.queue.empty():
                del self.to_minimise[wanted.file]
        return self.queue.get()

    def _minimize(self, wanted: ToMinimize) -> MinimizedFile | None:
        """Minimise the program of a finding, if the code that it was filed on is current."""
        if self.store is None or self.code != wanted.code:
            self._renew()
        if self.store is None or self.code != wanted.code:
            return None
        checked = self.store.replayer
        assert isinstance(checked, CheckedReplayer)

        def judge(program: Program) -> list[Finding]:
            return checked.shows_unchecked(print_program(program), *self.versions)

        try:
            return minimize_file(self.store, self.folder.parent, wanted, judge, lambda: not self.queue.empty())
        except CodeChangedError:
            self._drop()
        except (CandidateMistakeError, NoReplayError):
            # The next unit reports a mistake; without a process, the next session makes the program smaller.
            pass
        return None

    def _replayed(self, pending: Pending, code: Code, asked: float) -> Replayed:
        """Replay a program that was found on *code*, if that is the current code.

        If no process replays it, even after some time, it stays pending.
        """
        tries = 0
        while True:
            # A check reads all sources, so one check serves all replays that were requested before it.
            if self.store is None or (self.code != code and self.looked < asked):
                self._renew()
            if self.store is None or self.code != code:
                return set_aside(self.folder, *self.versions, pending)
            try:
                return file(self.store, self.folder, pending)
            except CodeChangedError:
                self._drop()
            except NoReplayError as error:
                tries += 1
                if tries == _MAX_TRIES:
                    return Replayed(pending, PENDING, str(error), "", 0)
                # The cause, such as too many processes, may be temporary.
                if self.ending.wait(tries * _RETRY_DELAY):
                    raise FilerEndedError from None

    def _renew(self) -> None:
        """Create a store for the current code."""
        now = self._look()
        if self.store is None or now != self.code:
            self._drop()
        if now is not None and self.store is None:
            self.code = now
            self.store = Store(self.folder, *self.versions, CheckedReplayer(now, self._look, self.ending, self.busy))

    def _look(self) -> Code | None:
        """Return the current code; None if a kernel tree cannot be built, which the next unit reports."""
        self.looked = time.monotonic()
        try:
            return digests_of(*self.versions)
        except TreeError:
            return None

    def _drop(self) -> None:
        if self.store is not None:
            self.store.close()
        self.store = self.code = None


def file(store: Store, folder: Path, pending: Pending) -> Replayed:
    """Replay a program and file it if it shows its finding.

    :param folder: of the store, below that of the campaign
    :raises CodeChangedError: from a `CheckedReplayer` replayer of the store
    :raises FilerEndedError: likewise
    :raises NoReplayError: likewise
    """
    # A copy, because the store takes over what it is offered.
    record = replace(pending.record)
    try:
        operations = record.operations
    except ProgramError as error:
        return Replayed(pending, UNREPLAYED, f"not a program: {error}", "", 0)
    store.files.trouble = ""
    try:
        kept = store.offer(record)
    except CandidateMistakeError as error:
        # The engine that ran the program before has reported the mistake and ended the campaign.
        return Replayed(pending, UNREPLAYED, noted(record.finding, str(error)).reason, "", operations)
    if store.files.trouble:
        return Replayed(pending, UNREPLAYED, "", "", 0, store.files.trouble)
    if kept is None:
        lost = store.lost.get(record.finding.key)
        reason = lost.reason if lost is not None else record.reason
        return Replayed(pending, UNREPLAYED, reason, "", operations)
    path = str(kept.path.relative_to(folder.parent)) if kept.path else ""
    return Replayed(pending, FILED, kept.reason, path, kept.operations)


def gone_path(folder: Path, pending: Pending) -> Path:
    """Return the file for a program that can no longer be replayed, one per program of a finding.

    :param folder: of the findings
    """
    stem = file_name(pending.record.finding).removesuffix(".s2")
    return folder / GONE / f"{stem}-version-{pending.version}-{pending.id}.s2"


def set_aside(folder: Path, reference: str, candidate: str, pending: Pending) -> Replayed:
    """Keep a program whose code is gone, without a statement on whether it shows its finding again.

    :param folder: of the findings, below that of the campaign
    """
    path = gone_path(folder, pending)
    why = f"not replayed: found on code version {pending.version} of the campaign, which is gone"
    finding, operations = noted(pending.record.finding, why), 0
    try:
        record = replace(pending.record, finding=finding)
        text, operations = file_text(record, reference, candidate, path), record.operations
    except ProgramError:
        # The language may have changed too.
        text = f"# {why}\n{pending.record.text}"
    try:
        path.parent.mkdir(exist_ok=True)
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomically(path, text)
    except OSError as error:
        return Replayed(pending, GONE, "", "", 0, f"{path}: {error.strerror or error}")
    return Replayed(pending, GONE, finding.reason, str(path.relative_to(folder.parent)), operations)
