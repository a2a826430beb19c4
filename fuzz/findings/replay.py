# SPDX-License-Identifier: GPL-2.0-only
"""What a program shows in a process that ran nothing before it."""

import json
import os
import select
import subprocess
import sys
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import IO, Final, NamedTuple, TypeAlias

from ..distribution import home_folder
from ..execution.mistakes import CandidateMistake
from ..judging import silence
from ..judging.forked import PATIENCE, signal_name
from ..processes.starting import remedy
from .found import CRASH

# Kind and signature: what tells a finding from others.
Key: TypeAlias = tuple[str, str]

# A program takes milliseconds, few with large slots some seconds; no less than an engine waits for one.
SECONDS: Final = PATIENCE
# What a server may take beyond that before it counts as lost.
_GRACE: Final = 30.0
# A signature of `CRASH`, as `fuzz.engines.supervisor` has it too: no kernel code that loops
# (`fuzz.judging.silence`), but whatever else takes so long.
HUNG: Final = "process did not get on"
# Those that say nothing about the program.
NOT_STARTED: Final = "process not started"
LOST: Final = "process lost"
NO_ANSWER: Final = (NOT_STARTED, LOST)


class Shown(NamedTuple):
    """One finding of a replayed program; the fields are those of `fuzz.judging.differential.Finding`."""

    kind: str
    signature: str
    reason: str
    at: int


def died_signature(number: int) -> str:
    """The signature of a process that signal *number* ended."""
    return f"process was killed by {signal_name(number)}"


class Replayer:
    """Replays programs, each in a fresh process, in the form (compiled or plain) of this one.

    A context manager; `close` ends its server process, which also ends with us.

    :param seconds: after which a program counts as hung
    :param silence: seconds of CPU time without an event after which kernel code does not come back
    """

    def __init__(self, seconds: float = SECONDS, silence: float = silence.SECONDS) -> None:
        self.seconds = seconds
        self.silence = silence
        self.server: subprocess.Popen[bytes] | None = None
        self.complaints: IO[bytes] | None = None

    def __enter__(self) -> "Replayer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def shows(self, program: str, reference: str, candidate: str) -> list[Shown]:
        """The findings of a program, in the order of its verdict.

        A crash, a hang or the end of the process is a finding of kind `CRASH`, never an exception.

        :param program: its text
        :param reference: name of the version that counts as the original
        :param candidate: name of the version under test
        :raises CandidateMistake: the Python of one of them has a mistake
        """
        request = {"program": program, "reference": reference, "candidate": candidate}
        line = json.dumps({**request, "seconds": self.seconds, "silence": self.silence}).encode() + b"\n"
        try:
            # That a server is lost says nothing about the program: it judges none itself.
            answer = self._ask(line) or self._ask(line, anew=True)
        except OSError as error:
            self.close()
            return [Shown(CRASH, NOT_STARTED, f"{error.strerror or error}{remedy(error)}", -1)]
        except BaseException:
            # What is under way belongs to nobody any more.
            self.close()
            raise
        if not answer:
            return [self._lost()]
        found = json.loads(answer)
        if "mistake" in found:
            raise CandidateMistake(found["mistake"])
        if "lost" in found:
            text = HUNG if found["started"] else NOT_STARTED
            return [Shown(CRASH, text, f"no verdict: {found['lost']}", -1)]
        if "signal" in found:
            text = died_signature(found["signal"])
            return [Shown(CRASH, text, f"the {text} as it judged the program", -1)]
        if "exit" in found:
            text = f"process ended with exit code {found['exit']}"
            return [Shown(CRASH, text, f"the {text} and no verdict", -1)]
        return [Shown(*each) for each in found["shown"]]

    def keys(self, program: str, reference: str, candidate: str) -> set[Key]:
        """Kind and signature of what `shows` has."""
        return {(each.kind, each.signature) for each in self.shows(program, reference, candidate)}

    def close(self) -> None:
        """End the server, if there is one; the next program gets another."""
        server, self.server = self.server, None
        if server is not None:
            server.kill()
            # Popen.__exit__ closes the pipes, of which one may have what nobody read, and waits.
            with suppress(BrokenPipeError), server:
                pass
        if self.complaints is not None:
            self.complaints.close()
            self.complaints = None

    def _ask(self, request: bytes, anew: bool = False) -> bytes:
        """A line of the server, with *anew* of another one; empty if it is gone, or does not answer."""
        if anew:
            self.close()
        server = self._running()
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            server.stdin.write(request)
            server.stdin.flush()
        except BrokenPipeError:
            return b""
        ready, _, _ = select.select([server.stdout], [], [], self.seconds + _GRACE)
        return server.stdout.readline() if ready else b""

    def _running(self) -> "subprocess.Popen[bytes]":
        if self.server is None or self.server.poll() is not None:
            self.close()
            self.complaints = tempfile.TemporaryFile()
            self.server = subprocess.Popen(
                [sys.executable, "-m", "fuzz.findings.replay_server", str(os.getpid())],
                cwd=home_folder(),
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.complaints,
            )
        return self.server

    def _lost(self) -> Shown:
        """The server is gone: what it said last; the next program gets another."""
        lines: list[str] = []
        if self.complaints is not None:
            self.complaints.seek(0)
            lines = self.complaints.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        self.close()
        return Shown(CRASH, LOST, said[-1] if said else "the process gave no answer", -1)


def replay(program_text: str, reference: str, candidate: str, seconds: float = SECONDS) -> set[Key]:
    """Kind and signature of each finding that a program shows in a fresh process.

    A crash, a hang or the end of that process is one of kind `CRASH`, never an exception.

    :param reference: name of the version that counts as the original
    :param candidate: name of the version under test
    :param seconds: after which the program counts as hung
    """
    with Replayer(seconds) as replayer:
        return replayer.keys(program_text, reference, candidate)


def _environment() -> dict[str, str]:
    """Ours, so that the server runs in the same form as this process."""
    native = sys.modules.get("reference.compiled.choice")
    compiled = native is not None and bool(native.CHOICE.mypyc)
    return {**os.environ, "S2FUZZ_PURE": "0" if compiled else "1"}
