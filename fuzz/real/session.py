# SPDX-License-Identifier: GPL-2.0-only
"""A real kernel that plays programs: booted once, saved, and then restored within a moment."""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..closing import Closing
from ..hardware.qemu import version
from . import initrd
from .answers import DONE, PANIC, REMARK
from .emulator import find_emulator
from .errors import RealError, RealPanicError
from .folder import entry_made, refused
from .kernels import RealKernel
from .left_out import CPU, EmulatedCpu
from .machine import RealMachine, command_of
from .monitor import MonitorError, monitor_failure
from .plugin import EventMemory, Watch

PART: Final = "machines"
STATE: Final = "state"
READY: Final = "ready"
SYMBOLS: Final = "symbols"
# Timeouts in seconds for a boot, which takes 10 to 30, and for one line of a program that is being played.
BOOT_PATIENCE: Final = 300.0
PLAY_PATIENCE: Final = 120.0
# Seconds for a waiting machine to come to rest: QEMU does not save while an EL2 timer is about to fire,
# and a busy kernel waits for its next tick.
REST: Final = 0.5
# Maximum number of attempts to save a machine correctly.
SAVES: Final = 3
# Prefix: the machine waits while its tables are examined.
SYNC: Final = "SYNC "


class RealSession(Closing):
    """A machine with a real kernel, ready to play programs; a context manager.

    *release*: release that the kernel reports, with *append*; *page_size*: in bytes; *fresh*: it has played no program

    :param kernel: the kernel to boot
    :param append: additional kernel parameters
    :param progress: called with a line before a long step
    :param cpu: CPU of the machine
    :param plugin: records the kernel's steps in `events`; None: no recording
    :raises RealError: something is missing, or the kernel does not boot
    """

    def __init__(
        self,
        kernel: RealKernel,
        append: str = "",
        progress: Callable[[str], None] = print,
        cpu: EmulatedCpu = CPU,
        plugin: Path | None = None,
    ) -> None:
        self.kernel = kernel
        self.append = append
        self.progress = progress
        self.cpu = cpu
        self.plugin = plugin
        self.events: EventMemory | None = None
        self.initrd = initrd.make()
        self.machine: RealMachine | None = None
        self.fresh = True
        try:
            self.start()
        except BaseException:
            # Nobody can close a session that was not created.
            self.close()
            raise

    def start(self) -> None:
        """Restore the machine from its saved state; if there is none, boot and save it first.

        :raises RealError: this fails
        """
        self.close()
        name = self.name()
        for _ in range(SAVES):
            saved = entry_made(PART, name, self.boot)
            release, self.page_size = ready_line(saved)
            self.machine = self.restore(saved)
            if self.timers_work(self.machine):
                break
            # It was saved while a timer was about to fire.
            self.close()
            shutil.rmtree(saved, ignore_errors=True)
        else:
            raise RealError(f"real: {self.kernel.name} was saved {SAVES} times, but its timers do not fire; try again")
        # Results of different configurations need different names.
        self.release = f"{release} ({self.append})" if self.append else release
        self.fresh = True

    def name(self) -> str:
        """Return the name of the saved state: a digest of everything that it depends on.

        :raises RealError: QEMU is missing, or the kernel cannot be read
        """
        program = find_emulator()
        parts = [*command_of(program, Path("kernel"), Path("initrd"), self.append, self.cpu), version(program)]
        parts += [self.kernel.digest(), hashlib.sha256(self.initrd.read_bytes()).hexdigest()]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def boot(self, work: Path) -> None:
        """Boot the kernel, and save the machine to a folder as soon as /init is ready.

        :raises RealError: it does not boot, has no KVM, or cannot be saved
        """
        self.progress(f"booting {self.kernel.name} once; its state is saved")
        with RealMachine(self.kernel.image, self.initrd, self.append, cpu=self.cpu) as machine:
            ready = self.until_ready(machine)
            symbols = self.symbols(machine)
            time.sleep(REST)
            try:
                machine.monitor.ask("stop")
                machine.monitor.share_memory()
                with open(work / STATE, "wb") as state:
                    machine.monitor.pass_file(STATE, state.fileno())
                    machine.monitor.ask("migrate", uri=f"fd:{STATE}")
                    machine.monitor.wait_for_migration()
                machine.memory.save(work)
                (work / READY).write_text(ready)
                (work / SYMBOLS).write_text(symbols)
            except MonitorError as error:
                raise monitor_failure(machine.program, error) from None
            except OSError as error:
                raise refused(work, error) from None

    def until_ready(self, machine: RealMachine) -> str:
        """Wait for /init, and return the line that it prints.

        :raises RealError: the kernel does not reach /init, or has no KVM
        """
        end = time.monotonic() + BOOT_PATIENCE
        try:
            line = machine.line(BOOT_PATIENCE)
            while not line.startswith("READY "):
                if line.startswith(REMARK):
                    self.progress(f"{self.kernel.name}: {line.removeprefix(REMARK)}")
                line = machine.line(max(end - time.monotonic(), 0.0))
        except RealError as error:
            wanted = "use a kernel for arm64 with a serial console (PL011), an initial file system and KVM built in"
            raise RealError(f"{error} while {self.kernel.name} booted; {wanted}") from None
        if not line.endswith(" kvm"):
            raise RealError(f"real: {self.kernel.name} has no /dev/kvm; use a kernel with KVM built in")
        return line

    def symbols(self, machine: RealMachine) -> str:
        """Return the addresses of pgtable.c's code: a line with first address, end and name for each function.

        :raises RealError: the machine does not answer
        """
        machine.send("SYMBOLS\n")
        found: list[str] = []
        while (line := machine.line(PLAY_PATIENCE)) != "SYMBOLS":
            if line.startswith("SYMBOL "):
                found.append(line.removeprefix("SYMBOL ") + "\n")
        return "".join(found)

    def watch(self, saved: Path) -> Watch | None:
        """Allocate memory for the events that a plugin records; None if there is no plugin."""
        if self.plugin is None:
            return None
        code: list[tuple[int, int]] = []
        for line in (saved / SYMBOLS).read_text().splitlines():
            first, end, _ = line.split()
            code.append((int(first, 16), int(end, 16)))
        self.events = EventMemory()
        return Watch(self.plugin, self.events, code)

    def restore(self, saved: Path) -> RealMachine:
        """Return a machine in the state that `boot` saved.

        :raises RealError: the state cannot be used
        """
        machine = None
        try:
            watch = self.watch(saved)
            machine = RealMachine(self.kernel.image, self.initrd, self.append, saved, self.cpu, watch)
            machine.monitor.share_memory()
            with open(saved / STATE, "rb") as state:
                machine.monitor.pass_file(STATE, state.fileno())
                machine.monitor.ask("migrate-incoming", uri=f"fd:{STATE}")
                machine.monitor.wait_for_migration()
            # It was saved while stopped.
            machine.monitor.ask("cont")
        except (MonitorError, OSError, ValueError) as error:
            if machine is not None:
                machine.close()
            raise unusable(saved, error) from None
        return machine

    def timers_work(self, machine: RealMachine) -> bool:
        """Return whether a busy process receives a timer signal in time.

        :raises RealError: the machine does not answer
        """
        machine.send("TIMER\n")
        while not (line := machine.line(PLAY_PATIENCE)).startswith("TIMER "):
            pass
        return line == "TIMER 1"

    def play(self, lines: list[str], look: Callable[[int], None] | None = None) -> list[str]:
        """Play a program, and return all lines that /init prints about it.

        :param lines: as made by `fuzz.real.lines`
        :param look: called with the number of each operation when it is over and the machine waits, if the program
            requests this; before the first one, with `fuzz.real.answers.CREATION`
        :raises RealError: QEMU ended
        :raises RealSilentError: the machine does not answer
        """
        self.begin(lines)
        return self.finish(look)

    def begin(self, lines: list[str]) -> None:
        """Start playing a program without waiting; `finish` waits.

        :raises RealError: as in `play`
        """
        if self.machine is None:
            self.start()
        assert self.machine is not None
        self.fresh = False
        self.machine.send("BEGIN\n" + "\n".join(lines) + "\nEND\n")

    def finish(self, look: Callable[[int], None] | None = None) -> list[str]:
        """Wait for the end of a program; return as `play`.

        :raises RealError: as in `play`
        """
        assert self.machine is not None
        got: list[str] = []
        try:
            while not (got and got[-1].startswith(DONE)):
                line = self.machine.line(PLAY_PATIENCE)
                if line.startswith(SYNC):
                    if look is not None:
                        look(int(line.split()[1]))
                    self.machine.send("\n")
                else:
                    got.append(line)
        except RealPanicError as error:
            # The panic message is part of the answer; the next program gets a new machine.
            got.append(f"{PANIC}{error}")
            self.close()
        return got

    def close(self) -> None:
        """End the machine, if there is one."""
        if self.machine is not None:
            self.machine.close()
            self.machine = None
        if self.events is not None:
            self.events.close()
            self.events = None


def ready_line(saved: Path) -> tuple[str, int]:
    """Return the release and the page size of a saved machine.

    :raises RealError: its folder is damaged
    """
    try:
        _, release, page_size, _ = (saved / READY).read_text().split()
        return release, int(page_size)
    except (OSError, ValueError) as error:
        raise unusable(saved, error) from None


def unusable(saved: Path, error: Exception) -> RealError:
    """Return the error for a saved machine that cannot be restored."""
    why = getattr(error, "strerror", None) or str(error)
    return RealError(f"real: the saved machine {saved} cannot be used: {why}; remove that folder")
