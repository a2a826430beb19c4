# SPDX-License-Identifier: GPL-2.0-only
"""The C compiler: its selection, its runs, and its error messages."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import TreeError

# "file:line:column: error: text [-Werror=...]"; of the assembler: "file:line: Error: text"
_ERROR: Final = re.compile(
    r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+):(?:\d+:)? (?:fatal )?[Ee]rror: (?P<text>.*?)(?: \[-W[^\]]*\])?$",
    re.MULTILINE,
)
# Errors of the linker: "ld: error: text"; `_BROKEN` matches others: "cc1: fatal error: text".
_LINKER: Final = re.compile(
    r"^(?:\S*ld: )?(?P<text>.*(?:multiple definition|undefined reference|relocation) .*)$", re.MULTILINE
)
_BROKEN: Final = re.compile(r"^.*?(?:fatal )?[Ee]rror:? (?P<text>.*)$", re.MULTILINE)
# Variables that would change where a compiler searches or what it writes.
_ENVIRONMENT: Final = ("CPATH", "C_INCLUDE_PATH", "DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES", "GCC_COMPARE_DEBUG")
# The name that a job uses for its own folder.
HERE: Final = "/proc/self/cwd"
_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class CompilerJob:
    """A run of a program in the folder of a build.

    :param name: names the result, for people
    """

    name: str
    command: Sequence[str]


class CompileFailedError(Exception):
    """Raised when a job failed.

    :param job: the job
    :param file: the file that the compiler names; "" if it names none
    :param line: the line that the compiler names; 0 if it names none
    :param text: its first error
    """

    def __init__(self, job: CompilerJob, file: str, line: int, text: str) -> None:
        super().__init__(text)
        self.job, self.file, self.line, self.text = job, file, line, text


class Compiler:
    """gcc for x86-64: the command in ``CC``, or ``gcc``.

    *name*: the command as text; *command*: its words; *version*: its name for people; *major*: its major version;
    *identity*: a digest that identifies it in the cache

    :raises TreeError: there is no compiler, or it cannot compile for this machine
    """

    def __init__(self) -> None:
        allowed = "gcc for x86-64, in PATH or named by CC (Debian: apt-get install gcc)"
        # As for make, CC may have arguments: "ccache gcc", "gcc -m64".
        self.name = os.environ.get("CC") or "gcc"
        try:
            self.command = shlex.split(self.name) or ["gcc"]
        except ValueError as error:
            raise TreeError(f"CC={self.name}: {error}; allowed: {allowed}") from None
        if shutil.which(self.command[0]) is None:
            raise TreeError(f"no C compiler: {self.command[0]} was not found; allowed: {allowed}")
        done = subprocess.run(
            [*self.command, "-dM", "-E", "-x", "c", "-"],
            input="",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        macros = done.stdout
        major = re.search(r"#define __GNUC__ (\d+)", macros)
        if done.returncode or major is None or "#define __clang__" in macros:
            raise TreeError(f"{self.name} is not gcc; allowed: {allowed}")
        if "#define __x86_64__" not in macros:
            raise TreeError(f"{self.name} does not compile for x86-64, which kernel trees need; allowed: {allowed}")
        self.major = int(major[1])
        version = re.search(r'#define __VERSION__ "(.*)"', macros)
        self.version = f"gcc {version[1]}" if version else "gcc"
        self.identity = hashlib.sha256(macros.encode()).hexdigest()

    def headers(self) -> str:
        """Return the folder of the compiler's own headers (``stdarg.h``)."""
        done = subprocess.run([*self.command, "-print-file-name=include"], capture_output=True, text=True, check=False)
        return done.stdout.strip()


def environment() -> dict[str, str]:
    """Return the environment of a job: English messages, and no variable that changes the output."""
    kept = {name: value for name, value in os.environ.items() if name not in _ENVIRONMENT}
    # gcc writes PWD into its data for counters; a fixed value makes the output independent of the folder.
    return kept | {"LC_ALL": "C", "PWD": HERE}


Running = list[tuple[CompilerJob, subprocess.Popen[bytes], Path]]


def run_all(jobs: Sequence[CompilerJob], folder: Path, done: list[CompilerJob] | None = None) -> None:
    """Run jobs in parallel, one per core; none is left running when this returns or raises.

    :param folder: the current directory of each job
    :param done: jobs that have succeeded are appended
    :raises CompileFailedError: a job failed; describes the first one
    """
    left, running = list(jobs), Running()
    # Temporary files that a killed compiler leaves are removed with the folder.
    variables = environment() | {"TMPDIR": str(folder)}
    try:
        while left or running:
            while left and len(running) < cores():
                _start(left.pop(0), folder, variables, running)
            for each in list(running):
                job, process, said = each
                if process.poll() is not None:
                    running.remove(each)
                    if process.returncode:
                        raise failure(job, process.returncode, said.read_text(errors="replace"))
                    if done is not None:
                        done.append(job)
            time.sleep(0.005)
    finally:
        for _, process, _ in running:
            # gcc has child processes, which would continue.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for _, process, _ in running:
            process.wait()


def _start(job: CompilerJob, folder: Path, variables: dict[str, str], running: Running) -> None:
    """Start a job and add it to *running*, with signals blocked so that no started job is lost."""
    said = folder / f"{job.name}.stderr"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        with said.open("wb") as file:
            process = subprocess.Popen(
                job.command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )
        running.append((job, process, said))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def output(command: Sequence[str], folder: Path) -> str:
    """Run a program of binutils, and return its output.

    :raises TreeError: the program is not installed, or fails
    """
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment(), capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise TreeError(f"cannot run {command[0]}: {error.strerror}; Debian: apt-get install binutils") from None
    if done.returncode:
        raise TreeError(f"{command[0]} fails: {(done.stderr.strip() or 'no message').splitlines()[0]}")
    return done.stdout


def failure(job: CompilerJob, code: int, said: str) -> CompileFailedError:
    """Return the exception for a job that failed.

    :param code: its exit code; negative: it was killed by a signal
    """
    place = _ERROR.search(said)
    if place:
        return CompileFailedError(job, place["file"], int(place["line"]), place["text"])
    broken = _LINKER.search(said) or _BROKEN.search(said)
    if broken:
        return CompileFailedError(job, "", 0, broken["text"])
    why = f"it was killed by signal {-code}" if code < 0 else f"exit code {code}"
    return CompileFailedError(job, "", 0, (said.strip() or why).splitlines()[0])
