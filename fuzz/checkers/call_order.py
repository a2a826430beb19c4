# SPDX-License-Identifier: GPL-2.0-only
"""The base of checkers that judge the order of events in certain calls, and observe frequent events only then."""

from __future__ import annotations

from typing import ClassVar

from reference.events import Observer

from ..sides.guest import Guest
from .checker import GuestChecker, Peers
from .shadow import Shadow


class CallEvents(Observer):
    """Receives the frequent events for a `CallOrder`, only while a judged call runs."""

    def __init__(self, checker: CallOrder) -> None:
        self.checker = checker

    def walk(self, vmid: int, start: int, end: int) -> None:
        self.checker.range_walked(vmid, start, end)


class CallOrder(GuestChecker):
    """A checker that judges certain calls for its VM; `changed` and `events` arrive only while such a call runs.

    *watching*: whether a judged call runs; *caller*: the actor that makes it; 0: outside a par block

    Parameters are those of `GuestChecker`.
    """

    on_demand = True
    __deletable__: ClassVar = ["events"]

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.watching = False
        self.caller = 0
        self.events = self.frequent_events()

    def frequent_events(self) -> CallEvents:
        """Return an observer of the frequent events for this checker."""
        return CallEvents(self)

    def observe_frequent(self, watching: bool) -> None:
        """Begin to receive changes and frequent events, or stop."""
        if watching == self.watching:
            return
        self.watching = watching
        if watching:
            self.shadow.observe(self)
            self.kernel.observe(self.events)
        else:
            self.shadow.dismiss(self)
            self.kernel.dismiss(self.events)

    def range_walked(self, vmid: int, start: int, end: int) -> None:
        """Note a range that the software walker is about to walk."""
        raise NotImplementedError

    def dismantle(self) -> None:
        """Cut the reference cycle; see `CheckerSuite.dismantle`."""
        del self.events
