# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU that stays alive to answer questions about translations.

Its memory is also mapped here, from an unnamed file (memfd), so that nothing is left over
however this process ends. QEMU ends with this process: the kernel kills it with the thread that
started it, and its standard input ends.
"""

import contextlib
import mmap
import os
import subprocess
import tempfile
from array import array
from contextlib import ExitStack
from typing import Final

from ..closing import Closing
from ..processes.ended import end_of, ended_text
from ..processes.programs import program_path
from ..processes.tied import start_tied
from ..processes.waiting import readable
from . import assemble, layout

PROGRAM: Final = "qemu-system-aarch64"
# Environment variable that names another QEMU, for example one built from source.
VARIABLE: Final = "S2FUZZ_QEMU"
WANTED: Final = f"an executable {PROGRAM} on PATH (Debian: qemu-system-arm), or named by {VARIABLE}"
# Timeout for an answer in seconds; a batch takes a fraction of one.
PATIENCE: Final = 20.0


class QemuError(Exception):
    """QEMU is missing, died or does not answer; one line with the problem and the remedy."""


def find() -> str:
    """Return the QEMU to run.

    :raises QemuError: there is none
    """
    return program_path(PROGRAM, VARIABLE, lambda wanted: QemuError(f"QEMU: {wanted} does not exist; provide {WANTED}"))


def version(program: str) -> str:
    """Return the first line of ``--version``, such as ``QEMU emulator version 7.2.22``; "" if there is none."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.partition("\n")[0]


def options(memory: str) -> list[str]:
    """Return the arguments of a QEMU that starts running the payload.

    :param memory: path of the file that backs its memory, `layout.RAM_SIZE` bytes
    """
    # max: 52-bit physical addresses, all granules, FEAT_XNX, FEAT_S2FWB. Its other
    # features cost time and change no translation.
    return [
        *("-machine", "virt,virtualization=on,gic-version=2,highmem=off,memory-backend=ram"),
        *("-accel", "tcg,thread=single", "-cpu", "max,pauth=off,sve=off,sme=off", "-smp", "1"),
        *("-m", f"{layout.RAM_SIZE >> 20}M"),
        *("-object", f"memory-backend-file,id=ram,size={layout.RAM_SIZE},mem-path={memory},share=on"),
        *("-device", f"loader,addr={layout.CODE:#x},cpu-num=0"),
        *("-semihosting-config", "enable=on,target=native"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "none", "-monitor", "none"),
    ]


class Qemu(Closing):
    """A QEMU that answers batches of questions; a context manager.

    *tables*: its table memory as signed 64-bit words, index 0 at `layout.TABLES`.

    :param patience: timeout for one answer in seconds
    :raises QemuError: there is none, or it does not start
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self.program = find()
        self.patience = patience
        self.busy = False
        with ExitStack() as stack:
            # Only QEMU keeps the file of its memory open.
            with ExitStack() as until_started:
                try:
                    # Stays open as long as QEMU; everything is released if QEMU does not start.
                    self.errors = stack.enter_context(tempfile.TemporaryFile())
                    file = os.memfd_create("s2fuzz")
                    until_started.callback(os.close, file)
                    os.ftruncate(file, layout.RAM_SIZE)
                    self.memory = stack.enter_context(mmap.mmap(file, layout.RAM_SIZE))
                except OSError as error:
                    raise QemuError(f"QEMU: no memory or files for it: {error.strerror}; free some") from None
                code = assemble.stored()
                start = layout.CODE - layout.RAM
                self.memory[start : start + len(code)] = code
                self.process = self.start(file)
            stack.callback(self.end)
            self.wait()
            whole = stack.enter_context(memoryview(self.memory))
            self.words = stack.enter_context(whole.cast("Q"))
            self.tables = stack.enter_context(whole.cast("q")[(layout.TABLES - layout.RAM) >> 3 :])
            self.open = stack.pop_all()

    def start(self, memory: int) -> subprocess.Popen[bytes]:
        """Run QEMU on the memory file *memory*.

        :raises QemuError: QEMU cannot be executed
        """
        try:
            command = [self.program, *options(f"/proc/self/fd/{memory}")]
            return start_tied(command, subprocess.PIPE, subprocess.PIPE, self.errors, (memory,))
        except OSError as error:
            raise QemuError(f"QEMU: {self.program}: {error.strerror}; provide {WANTED}") from None

    def index(self, address: int) -> int:
        """Return the index in `words` of a physical address."""
        return (address - layout.RAM) >> 3

    def put(self, address: int, words: list[int]) -> None:
        """Store consecutive 64-bit words, unsigned, at a physical address."""
        start = address - layout.RAM
        self.memory[start : start + 8 * len(words)] = array("Q", words).tobytes()

    def begin(self, jobs: list[tuple[int, int, int, int]], questions: list[int]) -> None:
        """Start a batch; `answers` waits for its end.

        :param jobs: VTCR_EL2, VTTBR_EL2, HCR_EL2 and number of questions of each
        :param questions: of all jobs, in order; the address, and the kind of question from bit `layout.ASK_SHIFT` on
        :raises QemuError: QEMU has died
        """
        assert not self.busy
        assert len(jobs) <= layout.MAX_JOBS
        assert len(questions) <= layout.MAX_QUESTIONS
        self.put(layout.MAILBOX, [len(jobs), layout.JOBS, layout.QUESTIONS, layout.ANSWERS])
        self.put(layout.JOBS, [word for job in jobs for word in job])
        self.put(layout.QUESTIONS, questions)
        self.asked = len(questions)
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(b"g")
        except OSError:
            raise self.exit_error() from None
        self.busy = True

    def answers(self) -> list[int]:
        """Wait until the batch is done; return one answer per question.

        :raises QemuError: QEMU died or takes too long
        """
        self.wait()
        self.busy = False
        return self.last_answers()

    def last_answers(self) -> list[int]:
        """Return the answers of the last batch again."""
        start = self.index(layout.ANSWERS)
        return self.words[start : start + self.asked].tolist()

    def wait(self) -> None:
        """Wait for the byte that signals the end of the batch.

        :raises QemuError: QEMU died or takes too long
        """
        assert self.process.stdout is not None
        if not readable([self.process.stdout.fileno()], self.patience):
            self.kill()
            raise QemuError(
                f"QEMU: {self.program} does not answer within {self.patience:g} s and was killed; "
                "use one that is fast enough, such as version 7.2"
            )
        if not self.process.stdout.read(1):
            raise self.exit_error()

    def exit_error(self) -> QemuError:
        """Return the error of a QEMU that has ended, or has closed its output."""
        code, said = end_of(self.process, self.errors, self.patience)
        text = f"QEMU: {ended_text(self.program, code, said)}"
        return QemuError(f"{text}; use one that runs the machine virt with the CPU max, such as version 7.2")

    def kill(self) -> None:
        """Kill QEMU at once."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Let QEMU end, or kill it, and release its memory."""
        self.open.close()

    def end(self) -> None:
        """Close its input, which ends a working QEMU; kill it otherwise."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if self.busy:
            self.kill()
        else:
            try:
                self.process.wait(self.patience)
            except subprocess.TimeoutExpired:
                self.kill()
