# SPDX-License-Identifier: GPL-2.0-only
"""A real kernel that plays programs: booted once, saved, and from then on restored in a moment."""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..closing import Closing
from ..hardware.qemu import QemuError, version
from ..hardware.qemu import find as find_qemu
from . import initrd
from .answers import DONE, PANIC, REMARK
from .errors import RealError, RealPanic
from .folder import entry, making, refused
from .kernels import RealKernel
from .left_out import CPU, EmulatedCpu
from .machine import RealMachine, command_of
from .monitor import MonitorError, monitor_failure
from .plugin import EventMemory, Watch

PART: Final = "machines"
STATE: Final = "state"
READY: Final = "ready"
SYMBOLS: Final = "symbols"
# Seconds for a boot, of which it takes 10 to 30; for one line of a program that is being played.
BOOT_PATIENCE: Final = 300.0
PLAY_PATIENCE: Final = 120.0
# Seconds in which a machine that waits for a program comes to rest: QEMU does not save when a timer of EL2 is to fire,
# and a kernel that is busy waits for its next tick.
REST: Final = 0.5
# A machine is saved so often at most until it is saved well.
SAVES: Final = 3
# The machine waits, for somebody to look at its tables.
SYNC: Final = "SYNC "


class RealSession(Closing):
    """A machine with a real kernel, ready to play programs; a context manager.

    *release*: of the kernel, as it says itself, with *append*; *page_size*: in bytes; *fresh*: it has played nothing

    :param kernel: to boot
    :param append: further parameters of the kernel
    :param tell: called with a line before something that takes long
    :param cpu: of the machine
    :param plugin: notes what the kernel does in `events`; None: nobody does
    :raises RealError: something is missing, or the kernel does not boot
    """

    def __init__(
        self,
        kernel: RealKernel,
        append: str = "",
        tell: Callable[[str], None] = print,
        cpu: EmulatedCpu = CPU,
        plugin: Path | None = None,
    ) -> None:
        self.kernel = kernel
        self.append = append
        self.tell = tell
        self.cpu = cpu
        self.plugin = plugin
        self.events: EventMemory | None = None
        self.initrd = initrd.make()
        self.machine: RealMachine | None = None
        self.restored = 0.0
        self.fresh = True
        self.start()

    def start(self) -> None:
        """Restore the machine from its saved state; boot and save it before, if nobody has.

        :raises RealError: that fails
        """
        self.close()
        name = self.name()
        for _ in range(SAVES):
            if entry(PART, name) is None:
                with making(PART, name) as work:
                    if entry(PART, name) is None:
                        self.boot(work)
            saved = entry(PART, name)
            assert saved is not None
            began = time.monotonic()
            self.machine = self.restore(saved)
            self.restored = time.monotonic() - began
            if self.timers_work(self.machine):
                break
            # It was saved when a timer was about to fire.
            self.close()
            shutil.rmtree(saved, ignore_errors=True)
        else:
            raise RealError(f"real: {self.kernel.name} was saved {SAVES} times, and its timers stand still; try again")
        words = (saved / READY).read_text().split()
        # Results of another configuration are told apart.
        self.release = f"{words[1]} ({self.append})" if self.append else words[1]
        self.page_size = int(words[2])
        self.fresh = True

    def name(self) -> str:
        """Return the name of the saved state: a digest of all that it depends on.

        :raises RealError: QEMU is missing, or the kernel cannot be read
        """
        try:
            program = find_qemu()
        except QemuError as error:
            raise RealError(f"real: {error}") from None
        parts = [*command_of(program, Path("kernel"), Path("initrd"), self.append, self.cpu), version(program)]
        parts += [self.kernel.digest(), hashlib.sha256(self.initrd.read_bytes()).hexdigest()]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def boot(self, work: Path) -> None:
        """Boot the kernel, and save the machine to a folder as soon as /init is ready.

        :raises RealError: it does not boot, has no KVM, or cannot be saved
        """
        self.tell(f"booting {self.kernel.name}, once: its state is kept")
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
                    machine.monitor.wait_until("completed")
                machine.memory.save(work)
                (work / READY).write_text(ready)
                (work / SYMBOLS).write_text(symbols)
            except MonitorError as error:
                raise monitor_failure(machine.program, error) from None
            except OSError as error:
                raise refused(work, error) from None

    def until_ready(self, machine: RealMachine) -> str:
        """Wait for /init; the line that it says.

        :raises RealError: the kernel does not come so far, or has no KVM
        """
        end = time.monotonic() + BOOT_PATIENCE
        try:
            line = machine.line(BOOT_PATIENCE)
            while not line.startswith("READY "):
                if line.startswith(REMARK):
                    self.tell(f"{self.kernel.name}: {line.removeprefix(REMARK)}")
                line = machine.line(max(end - time.monotonic(), 0.0))
        except RealError as error:
            wanted = "use a kernel for arm64 with a serial console (PL011), an initial file system and KVM built in"
            raise RealError(f"{error} while {self.kernel.name} booted; {wanted}") from None
        if not line.endswith(" kvm"):
            raise RealError(f"real: {self.kernel.name} has no /dev/kvm; use a kernel with KVM built in")
        return line

    def symbols(self, machine: RealMachine) -> str:
        """Return where the code of pgtable.c lies: a line for each function with its first address and its end.

        :raises RealError: the machine does not answer
        """
        machine.send("SYMBOLS\n")
        found: list[str] = []
        while (line := machine.line(PLAY_PATIENCE)) != "SYMBOLS":
            if line.startswith("SYMBOL "):
                found.append(line.removeprefix("SYMBOL ") + "\n")
        return "".join(found)

    def watch(self, saved: Path) -> Watch | None:
        """Make memory for the events that a plugin notes; None: there is no plugin."""
        if self.plugin is None:
            return None
        code: list[tuple[int, int]] = []
        for line in (saved / SYMBOLS).read_text().splitlines():
            first, end, _ = line.split()
            code.append((int(first, 16), int(end, 16)))
        self.events = EventMemory()
        return Watch(self.plugin, self.events, code)

    def restore(self, saved: Path) -> RealMachine:
        """A machine in the state that `boot` saved.

        :raises RealError: that cannot be used
        """
        machine = None
        try:
            watch = self.watch(saved)
            machine = RealMachine(self.kernel.image, self.initrd, self.append, saved, self.cpu, watch)
            machine.monitor.share_memory()
            with open(saved / STATE, "rb") as state:
                machine.monitor.pass_file(STATE, state.fileno())
                machine.monitor.ask("migrate-incoming", uri=f"fd:{STATE}")
                machine.monitor.wait_until("completed")
            # It was saved while it stood still.
            machine.monitor.ask("cont")
        except (MonitorError, OSError) as error:
            if machine is not None:
                machine.close()
            why = getattr(error, "strerror", None) or str(error)
            raise RealError(f"real: the saved machine {saved} cannot be used: {why}; remove that folder") from None
        return machine

    def timers_work(self, machine: RealMachine) -> bool:
        """Tell whether a signal comes to a busy process when it should.

        :raises RealError: the machine does not answer
        """
        machine.send("TIMER\n")
        while not (line := machine.line(PLAY_PATIENCE)).startswith("TIMER "):
            pass
        return line == "TIMER 1"

    def play(self, lines: list[str], look: Callable[[int], None] | None = None) -> list[str]:
        """Have a program played; all lines that /init says of it.

        :param lines: as `fuzz.real.lines` makes them
        :param look: called with the number of each operation when it is over and the machine waits, if the program
            asks for that; before the first one, with `fuzz.real.answers.CREATION`
        :raises RealError: QEMU ended
        :raises RealSilent: it does not answer
        """
        self.begin(lines)
        return self.finish(look)

    def begin(self, lines: list[str]) -> None:
        """Have a program played, and do not wait; `finish` does.

        :raises RealError: as `play`
        """
        if self.machine is None:
            self.start()
        assert self.machine is not None
        self.fresh = False
        self.machine.send("BEGIN\n" + "\n".join(lines) + "\nEND\n")

    def finish(self, look: Callable[[int], None] | None = None) -> list[str]:
        """Wait for the end of a program; the answer of `play`.

        :raises RealError: as `play`
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
        except RealPanic as error:
            # What it said is an answer; the next program gets another machine.
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
