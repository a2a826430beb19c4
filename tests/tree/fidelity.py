# SPDX-License-Identifier: GPL-2.0-only
"""Comparison of a compiled tree with the port of the same version, event by event.

Both sides number pages in the order of allocation, so their streams can be compared directly. `LEFT_OUT` and
`normal` list the events that are left out, with reasons.
"""

from typing import Final

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.program import Program
from reference.events import EVENT_NAMES, Observer
from reference.kernel import Kernel

# Events that are not compared, and why.
LEFT_OUT: Final = {
    "walk_table": "C reads some entries more often than the port; apart from that, both read the same ones (lifetime)",
    "object": "only a tree numbers its small allocations; those of stage-2 code are kzalloc and its like in both",
    "no_struct_page": "the port has no page structures; the one read that it has is `thp`",
    "unregistered": "the port has no notifier to unregister, and its slots are no allocations",
    "isb": "kvm_call_hyp() ends with an ISB if the host runs at EL2; the port has the hypercall",
    "dmb": "the notifiers of the port have no smp_wmb()",
    "kvm_err": "printk() is compiled out",
    "sea": "apei_claim_sea() is compiled out, which its result shows",
    "set_af": "an event of the hardware, reported by the Python side for both",
    "dirtied": "an event of the hardware, reported by the Python side for both",
}

Event = tuple[object, ...]


class Log(Observer):
    """Records events as tuples; a walk with its callback.

    Walks that follow each other without another event are one: the process of a tree merges them (native/rt_records.c).
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.events: list[Event] = []

    def walk(self, vmid: int, start: object, end: int) -> None:
        walk = "walk", self.kernel.walker, vmid
        if self.events and self.events[-1][:3] == walk and self.events[-1][-1] == start:
            start = self.events.pop()[3]
        self.events.append((*walk, start, end))


def _method(name: str) -> object:
    def note(self: Log, *arguments: object) -> None:
        self.events.append((name, *arguments))

    return note


for _name in EVENT_NAMES:
    if _name not in LEFT_OUT and _name not in vars(Log):
        setattr(Log, _name, _method(_name))


class ActorState:
    """The state of an actor in `normal`.

    *looking*: its pins since its sample, until the look-up ends; None: no look-up is in progress
    *held*: "mmu" while it holds that lock
    """

    def __init__(self) -> None:
        self.looking: list[Event] | None = None
        self.held = ""


def normal(events: list[Event], operation: str) -> list[Event]:
    """Return the events without those that only one side can have. Each actor is followed separately.

    * ``mmu_notifier_retry()`` has a barrier of its own.
    * The look-up of a frame that is not mapped writable, or has no page, continues under the mmap lock, with
      another reference; the port's look-up is one step. The events between a sample and the look-up's result
      are therefore reduced to one pin on both sides.
    * The release notifier is called under SRCU.
    """
    found: list[Event] = []
    actors = {0: ActorState()}
    doing = actors[0]
    for event in events:
        name = event[0]
        if name == "turn":
            assert isinstance(event[1], int)
            doing = actors.setdefault(event[1], ActorState())
        looking = doing.looking
        if name == "sample":
            doing.looking = []
        elif name == "gfn_to_pfn" and looking is not None:
            found += looking[-1:]
            doing.looking = None
        elif looking is not None and name in ("lock", "unlock", "vma", "pin", "release", "rmb"):
            if name == "pin":
                looking.append(event)
            elif name == "rmb" and found[-1][0] == "sample":
                found.append(event)
            elif name not in ("pin", "release", "rmb") and event[1:2] == ("mmu",):
                # A notifier that the look-up called.
                found.append(event)
            continue
        if name == "lock" and event[1] == "mmu":
            doing.held = "mmu"
        elif name == "unlock" and event[1] == "mmu":
            doing.held = ""
        if name == "rmb" and doing.held:
            continue
        ends = operation == "destroy" or operation.startswith("VmEnd(")
        if ends and name in ("lock", "unlock") and event[1] == "srcu":
            continue
        found.append(event)
    return found


class Stream:
    """The run of a program on a version: the outcome and the events of each operation.

    *refused*: why the program was refused, or ""
    """

    def __init__(self, version: str, program: Program) -> None:
        executor = Executor(candidate.get(version), program)
        log = Log(executor.side.kernel)
        log.kernel.observe(log)
        self.steps: list[tuple[str, str, list[Event]]] = []
        executor.create()
        self.take("create", "", log)
        for at, operation in enumerate(program.operations):
            if executor.dead:
                break
            outcome, _ = executor.step(at)
            # The text of a par block's outcome includes the switches that did not take place.
            self.take(repr(operation), f"{outcome} {outcome.detail}".rstrip(), log)
        executor.destroy()
        self.take("destroy", "", log)
        self.refused = executor.refused
        executor.dismantle()

    def take(self, operation: str, outcome: str, log: Log) -> None:
        """Record the end of an operation."""
        self.steps.append((operation, outcome, normal(log.events, operation)))
        log.events.clear()

    def __len__(self) -> int:
        return sum(len(events) for _, _, events in self.steps)


def difference(port: Stream, tree: Stream) -> str:
    """Return a description of the first difference of two streams; "" if they are equal."""
    for at, (mine, theirs) in enumerate(zip(port.steps, tree.steps, strict=False)):
        where = f"operation {at - 1}, {mine[0]}"
        if mine[:2] != theirs[:2]:
            return f"{where}: port {mine[1]}, tree {theirs[1]}"
        for number, (one, other) in enumerate(zip(mine[2], theirs[2], strict=False)):
            if one != other:
                before = mine[2][max(number - 3, 0) : number]
                return f"{where}, event {number}: port {one}, tree {other}, after {before}"
        if len(mine[2]) != len(theirs[2]):
            rest = max(mine[2], theirs[2], key=len)[min(len(mine[2]), len(theirs[2])) :]
            return f"{where}: {'port' if len(mine[2]) > len(theirs[2]) else 'tree'} continues with {rest[:3]}"
    if len(port.steps) != len(tree.steps):
        return f"port does {len(port.steps)} operations, tree {len(tree.steps)}"
    return ""
