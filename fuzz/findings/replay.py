# SPDX-License-Identifier: GPL-2.0-only
"""The replay of a program in a process that ran no other program before."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final, NamedTuple

from ..closing import Closing
from ..execution.mistakes import CandidateMistakeError
from ..judging import silence
from ..judging.finding import Finding, Key
from ..judging.forked import PATIENCE
from ..processes.child import Child, signal_name
from ..processes.patience import LONGEST
from ..processes.starting import NoProcessError, remedy
from .found import CRASH

# A program takes milliseconds, a few with large slots take seconds. Must not be less than an engine's patience.
REPLAY_TIMEOUT: Final = PATIENCE
# Further seconds after which a silent server counts as lost.
_GRACE: Final = 30.0
# A signature of `CRASH`, also used by `fuzz.engines.supervisor`: not kernel code that loops
# (`fuzz.judging.silence`), but anything else that takes too long.
HUNG: Final = "process made no progress"
# Signatures that say nothing about the program.
NOT_STARTED: Final = "process not started"
LOST: Final = "process lost"
OTHER_TREE: Final = "kernel tree changed"
NO_ANSWER: Final = (NOT_STARTED, LOST, OTHER_TREE)
# Prefix for one of these in the reason of a finding.
NOT_JUDGED: Final = "not judged again: "


def not_judged(finding: Finding) -> str:
    """Return why no process judged a program, if a finding of it says only that; else ""."""
    if finding.kind == CRASH and finding.signature in NO_ANSWER:
        return f"{NOT_JUDGED}{finding.signature}: {finding.reason}"
    return ""


def died_signature(number: int) -> str:
    """Return the signature of a process killed by signal *number*."""
    return f"process was killed by {signal_name(number)}"


class ReplayOutcome(NamedTuple):
    """The outcome of a replay.

    :param findings: in the order of the verdict
    :param refused: what the program needs and is not modelled, so that there is no verdict; "" if there is one
    """

    findings: list[Finding]
    refused: str = ""


class Replayer(Closing):
    """A replayer of programs, each in a fresh process, in the form (compiled or plain) of this one.

    A context manager. `close` ends its server process, which also ends with this process.

    :param seconds: after which a program counts as hung
    :param contents: as in `fuzz.engines.unit.Unit`
    """

    def __init__(self, seconds: float = REPLAY_TIMEOUT, contents: tuple[str, ...] = ()) -> None:
        self.seconds = seconds
        # Seconds of CPU time without an event after which kernel code counts as not returning.
        self.silence = silence.SECONDS
        self.contents = contents
        self.server: Child | None = None
        self.complaints: IO[bytes] | None = None
        # Requests sent to the server as one batch and not yet answered, by position; and answers of that batch that
        # came early.
        self.expected: dict[int, bytes] = {}
        self.early: dict[bytes, bytes] = {}

    def expect(self, programs: Sequence[str], reference: str, candidate: str, beside: int) -> None:
        """Start replaying programs that `shows` will be asked for, if several are replayed concurrently.

        :param programs: their texts
        :param reference: name of the version that the candidate is compared with
        :param candidate: name of the version under test
        :param beside: number of concurrent replays
        """
        if beside < 2 or len(programs) < 2:
            return
        requests = list(dict.fromkeys(self._request(each, reference, candidate) for each in programs))
        with suppress(OSError):
            # On an error, each program is requested individually later, which reports the cause.
            self._running().send(json.dumps({"beside": beside, "requests": [*map(json.loads, requests)]}).encode())
            self.expected, self.early = dict(enumerate(requests)), {}

    def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
        """Return the findings of a program, in the order of its verdict; none if there is no verdict.

        A crash, a hang or the death of the process becomes a finding of class `CRASH`, never an exception.

        :param program: its text
        :param reference: name of the version that the candidate is compared with
        :param candidate: name of the version under test
        :raises CandidateMistakeError: the Python of one of them has a mistake
        """
        return self.replay(program, reference, candidate).findings

    def replay(self, program: str, reference: str, candidate: str) -> ReplayOutcome:
        """Return the findings as `shows` does, and the reason if there is no verdict."""
        line = self._request(program, reference, candidate)
        try:
            # A lost server is not the program's doing: the server itself judges no program. So try another server.
            answer = self._expected(line) or self._ask(line) or self._ask(line, anew=True)
        except OSError as error:
            self.close()
            why = error.why if isinstance(error, NoProcessError) else f"{error.strerror or error}{remedy(error)}"
            return ReplayOutcome([Finding(CRASH, NOT_STARTED, why)])
        except BaseException:
            # Nobody waits for the running work any more.
            self.close()
            raise
        if not answer:
            return ReplayOutcome([self._lost()])
        found = json.loads(answer)
        if "mistake" in found:
            raise CandidateMistakeError(found["mistake"])
        if "lost" in found:
            text = HUNG if found["started"] else NOT_STARTED
            return ReplayOutcome([Finding(CRASH, text, f"no verdict: {found['lost']}")])
        if "signal" in found:
            text = died_signature(found["signal"])
            return ReplayOutcome([Finding(CRASH, text, f"the {text} while it judged the program")])
        if "exit" in found:
            text = f"process ended with exit code {found['exit']}"
            return ReplayOutcome([Finding(CRASH, text, f"the {text} and no verdict")])
        return ReplayOutcome([Finding(*each) for each in found["shown"]], found.get("refused", ""))

    def keys(self, program: str, reference: str, candidate: str) -> set[Key]:
        """Return class and signature of each finding of `shows`."""
        return {each.key for each in self.shows(program, reference, candidate)}

    def close(self) -> None:
        """End the server, if there is one; the next program starts another."""
        server, self.server = self.server, None
        self.expected = {}
        if server is not None:
            server.close()
        if self.complaints is not None:
            self.complaints.close()
            self.complaints = None

    def _request(self, program: str, reference: str, candidate: str) -> bytes:
        """Return the request line for the server."""
        request = {"program": program, "reference": reference, "candidate": candidate}
        limits = {"seconds": self.seconds, "silence": self.silence}
        return json.dumps({**request, **limits, "contents": self.contents}).encode()

    def _expected(self, request: bytes) -> bytes | None:
        """Return the answer to a request of the batch, if the server answers it.

        The server takes no other request until its batch is done, so read the batch's answers up to this one.
        """
        while self.expected and request not in self.early and self.server is not None:
            line = self.server.line(self.seconds * LONGEST + _GRACE)
            if line is None:
                # The server is lost: each program is requested from another one.
                self.close()
                break
            number, answer = json.loads(line)
            asked = self.expected.pop(number)
            if answer is not None:
                self.early[asked] = json.dumps(answer).encode()
        return self.early.pop(request, None)

    def _ask(self, request: bytes, anew: bool = False) -> bytes | None:
        """Ask the server, or with *anew* a new one; return its answer, or None if it is gone or does not answer."""
        if anew:
            self.close()
        server = self._running()
        server.send(request)
        return server.line(self.seconds * LONGEST + _GRACE)

    def _running(self) -> Child:
        """Return the running server; start one if necessary."""
        if self.server is None or not self.server.running():
            self.close()
            self.complaints = tempfile.TemporaryFile()  # noqa: SIM115, closed in `close`
            self.server = Child(
                "the process that replays programs",
                "fuzz.findings.replay_server",
                environment=_environment(),
                # What a version under test prints was already printed when it was first judged.
                stdout=subprocess.DEVNULL,
                stderr=self.complaints,
            )
        return self.server

    def _lost(self) -> Finding:
        """Return the finding for a lost server, with its last output line; the next program starts another server."""
        lines: list[str] = []
        if self.complaints is not None:
            self.complaints.seek(0)
            lines = self.complaints.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        self.close()
        return Finding(CRASH, LOST, said[-1] if said else "the process gave no answer")


def replay(program_text: str, reference: str, candidate: str) -> set[Key]:
    """Return class and signature of each finding that a program shows in a fresh process.

    A crash, a hang or the death of that process becomes a finding of class `CRASH`, never an exception.

    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    """
    with Replayer() as replayer:
        return replayer.keys(program_text, reference, candidate)


def _environment() -> dict[str, str]:
    """Return the environment variable that makes the server run in the same form as this process."""
    native = sys.modules.get("reference.compiled.choice")
    compiled = native is not None and bool(native.CHOICE.mypyc)
    return {"S2FUZZ_PURE": "0" if compiled else "1"}
