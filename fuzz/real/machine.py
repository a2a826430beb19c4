# SPDX-License-Identifier: GPL-2.0-only
"""QEMU with a real kernel and our /init: start, console, watchdog, end.

QEMU ends with this process: the kernel kills it with the thread that started it. Its memory,
console and monitor are unnamed, so nothing is left over however this process ends.
"""

import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ..closing import Closing
from ..processes.ended import end_of, ended_text
from ..processes.tied import start_tied
from .emulator import find_emulator
from .errors import RealError, RealPanicError, RealSilentError
from .left_out import CPU, EmulatedCpu
from .memory import GIB, NODES, RealMemory
from .monitor import Monitor, MonitorError, monitor_failure
from .plugin import Watch
from .registers import Registers

# Memory at the end that the kernel does not use: slots of device memory are made of it.
DEVICE_MIB: Final = 128
MEMORY_MIB: Final = (sum(NODES) >> 20) - DEVICE_MIB
# Quiet, boots fast, one hugetlb page of 1G, no ageing of pages (DAMON does it since 6.17), exits after a panic.
APPEND: Final = (
    f"console=ttyAMA0 quiet loglevel=1 nokaslr mem={MEMORY_MIB}M hugepagesz=1G hugepages=1 "
    "rodata=off random.trust_cpu=on lpj=1000000 audit=0 apparmor=0 nosoftlockup rcupdate.rcu_expedited=1 "
    "cryptomgr.notests damon_stat.enabled=0 panic=-1"
)
# Timeout in seconds for an answer of the monitor, and for a machine to end.
PATIENCE: Final = 60.0
# Timeout in seconds for a process to end after it has closed its sockets.
MOMENT: Final = 2.0
# Names of the connections to QEMU, as QEMU has them.
CONSOLE: Final = "console"
MONITOR: Final = "monitor"
REGISTERS: Final = "registers"
# Number of console lines kept to explain the end of the machine.
LAST_LINES: Final = 40
_CHUNK: Final = 65536


def command_of(program: str, kernel: Path, initrd: Path, append: str, cpu: EmulatedCpu) -> list[str]:
    """Return the command that starts QEMU, except for its memory, console and monitor."""
    machine = f"virt,virtualization=on,gic-version=3,mte={'on' if cpu.mte else 'off'}"
    return [
        *(program, "-machine", machine, "-accel", "tcg", "-cpu", cpu.name, "-smp", "1"),
        *("-m", f"{sum(NODES) >> 20}M", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", f"{APPEND} {append}".strip()),
    ]


class RealMachine(Closing):
    """A running QEMU; a context manager.

    *memory*: memory of the machine; *monitor*: monitor of QEMU

    :param kernel: the image
    :param initrd: the initial file system
    :param append: additional kernel parameters
    :param saved: a folder with the state to start from; None: boot
    :param cpu: its only CPU
    :param watch: the plugin that records kernel events; None: none
    :raises RealError: QEMU is missing, cannot be executed, or ends at once
    :raises OSError: the saved state cannot be read
    """

    def __init__(
        self,
        kernel: Path,
        initrd: Path,
        append: str = "",
        saved: Path | None = None,
        cpu: EmulatedCpu = CPU,
        watch: Watch | None = None,
    ) -> None:
        self.program = find_emulator()
        self.rest = b""
        self.last: list[str] = []
        with ExitStack() as stack:
            ours: dict[str, socket.socket] = {}
            # Only QEMU keeps the other ends open.
            with ExitStack() as until_started:
                theirs: dict[str, int] = {}
                try:
                    self.errors = stack.enter_context(tempfile.TemporaryFile())
                    for name in (CONSOLE, MONITOR, REGISTERS):
                        own, other = socket.socketpair()
                        ours[name] = stack.enter_context(own)
                        theirs[name] = until_started.enter_context(other).fileno()
                except OSError as error:
                    raise RealError(f"real: no files for the emulated machine: {error.strerror}; free some") from None
                self.memory = stack.enter_context(RealMemory())
                if saved is not None:
                    self.memory.load(saved)
                command = command_of(self.program, kernel, initrd, append, cpu)
                self.process = self.start(command, theirs, saved is not None, watch)
            stack.callback(self.kill)
            self.console = ours[CONSOLE]
            self.registers = Registers(ours[REGISTERS], PATIENCE)
            self.has_stub = False
            self.monitor = Monitor(ours[MONITOR], PATIENCE)
            try:
                self.monitor.begin()
            except MonitorError as error:
                # The monitor is probably closed because QEMU has ended.
                raise self.exit_error() if self.ends_soon() else monitor_failure(self.program, error) from None
            self.open = stack.pop_all()

    def ends_soon(self) -> bool:
        """Return whether QEMU has ended, or ends within a moment."""
        try:
            self.process.wait(MOMENT)
        except subprocess.TimeoutExpired:
            return False
        return True

    def start(
        self, command: list[str], sockets: dict[str, int], incoming: bool, watch: Watch | None
    ) -> subprocess.Popen[bytes]:
        """Run QEMU on our memory and sockets.

        :param sockets: file descriptors by QEMU's names for the sockets
        :raises RealError: QEMU cannot be executed
        """
        parts: list[str] = []
        for node, (file, size) in enumerate(zip(self.memory.files, NODES, strict=True)):
            backend = f"memory-backend-file,id=node{node},size={size // GIB}G,mem-path=/proc/self/fd/{file},share=on"
            parts += ["-object", backend, "-numa", f"node,nodeid={node},memdev=node{node}"]
        for name, file in sockets.items():
            parts += ["-chardev", f"socket,id={name},fd={file}"]
        parts += ["-serial", f"chardev:{CONSOLE}", "-mon", f"chardev={MONITOR},mode=control"]
        files = [*self.memory.files, *sockets.values()]
        if watch is not None:
            parts += ["-plugin", watch.events.arguments(watch.plugin, self.memory.files[0], watch.code)]
            files.append(watch.events.file)
        if incoming:
            parts += ["-incoming", "defer"]
        try:
            return start_tied([*command, *parts], subprocess.DEVNULL, self.errors, self.errors, files)
        except OSError as error:
            raise RealError(f"real: QEMU: {self.program}: {error.strerror}; name another by S2FUZZ_QEMU") from None

    def send(self, text: str) -> None:
        """Write to the console.

        :raises RealError: the machine has ended
        :raises RealSilentError: the machine does not read
        """
        self.console.settimeout(PATIENCE)
        try:
            self.console.sendall(text.encode())
        except TimeoutError:
            raise self.timeout_error(PATIENCE) from None
        except OSError:
            raise self.exit_error() from None

    def line(self, seconds: float) -> str:
        """Return the next line that the machine prints.

        :param seconds: timeout for the whole line
        :raises RealError: the machine has ended
        :raises RealPanicError: it ended by a kernel panic
        :raises RealSilentError: it printed no line in this time, and was killed
        """
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            if left <= 0:
                raise self.timeout_error(seconds)
            self.console.settimeout(left)
            try:
                data = self.console.recv(_CHUNK)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                raise self.exit_error()
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        text = line.decode(errors="replace").rstrip("\r")
        self.last = [*self.last[1 - LAST_LINES :], text]
        return text

    def register(self, name: str) -> int:
        """Return the value of a system register; stops the machine for a moment.

        :raises RealError: QEMU does not report it
        """
        try:
            if not self.has_stub:
                # The gdbstub stops the machine when a client connects; our end is already connected.
                self.monitor.ask("human-monitor-command", command_line=f"gdbserver chardev:{REGISTERS}")
                self.has_stub = True
            value = self.registers.read(name)
            self.monitor.ask("cont")
        except MonitorError as error:
            raise monitor_failure(self.program, error) from None
        return value

    def timeout_error(self, seconds: float) -> RealSilentError:
        """Kill a machine that does not answer, and return the error."""
        self.kill()
        said = f", last line: {self.last[-1]}" if self.last else ""
        return RealSilentError(f"real: the emulated machine did not answer within {seconds:g} s and was killed{said}")

    def exit_error(self) -> RealError:
        """Return the error of a machine that has ended."""
        code, said = end_of(self.process, self.errors, PATIENCE)
        if not code and not said:
            panic = next((line for line in self.last if "panic" in line), "no output")
            return RealPanicError(f"real: the kernel of the emulated machine ended: {panic.strip()}")
        text = f"real: QEMU: {ended_text(self.program, code, said)}"
        return RealError(f"{text}; use one that runs the machine virt with EL2, such as version 7.2")

    def kill(self) -> None:
        """Kill QEMU at once."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End QEMU and release its memory."""
        self.open.close()
