# SPDX-License-Identifier: GPL-2.0-only
"""The coordinator's side of replaying: requests to the filer, and records of its answers."""

from ..store.database import CampaignError
from ..store.findings import FILED, GONE, PENDING, Replayed, ToTell
from ..store.log import Log
from ..store.records import Records
from .file_minimizing import MinimizedFile, ToMinimize
from .filing import Filer
from .hook import Hook


class Replays:
    """The replays of a session.

    :param records: of the campaign
    :param filer: replays and files the programs
    :param hook: receives new findings
    :param log: of the campaign
    """

    def __init__(self, records: Records, filer: Filer, hook: Hook, log: Log) -> None:
        self.records = records
        self.filer = filer
        self.hook = hook
        self.log = log

    def ask_waiting(self) -> None:
        """Request the replays that are due, and smaller programs for filed findings."""
        version = self.records.version
        for pending in self.records.findings.waiting(version):
            self.filer.ask(pending, self.records.codes[pending.version])
        for finding, file in self.records.findings.filed(version):
            self.filer.minimize_later(ToMinimize(finding, self.records.code, version, file))

    def tell_untold(self) -> None:
        """Queue the user's command for findings for which an earlier session has not run it."""
        for found in self.records.findings.untold():
            self.hook.found(found)

    def process_replayed(self, replayed: Replayed) -> None:
        """Process the outcome of a replay."""
        finding = replayed.pending.record.finding
        if replayed.trouble:
            raise CampaignError(f"{replayed.trouble}; use a writable directory with free space")
        if replayed.state == PENDING:
            self.filer.waiting.discard(replayed.pending.id)
            self.log.say(f"not replayed, which the next session tries again: {finding.title}: {replayed.reason}")
            return
        accepted = self.records.findings.accepted_text(*finding.key)
        new = self.records.findings.file(replayed, bool(self.hook.command) and not accepted)
        self.filer.forget(replayed)
        if replayed.state == FILED and not accepted:
            version = replayed.pending.version
            self.filer.minimize_later(ToMinimize(finding, self.records.codes[version], version, replayed.file))
        if not new:
            return
        if replayed.state == FILED:
            known = f" (accepted: {accepted})" if accepted else ""
            self.log.say(f"found: {finding.title}{known}: {replayed.file}")
            if not accepted:
                self.hook.found(ToTell(finding, replayed.pending.version, replayed.file))
        elif replayed.state == GONE:
            self.log.say(f"not replayed, its code is gone: {finding.title}: {replayed.file}")
        else:
            self.log.say(f"did not replay: {finding.title}: {replayed.reason}")

    def process_minimized(self, minimized: MinimizedFile) -> None:
        """Record that minimising the program of a filed finding has ended."""
        if minimized.trouble:
            raise CampaignError(f"{minimized.trouble}; use a writable directory with free space")
        self.records.findings.minimized(minimized.finding, minimized.version, minimized.operations)
        if minimized.how:
            self.log.say(f"minimised: {minimized.finding.title}: {minimized.how}: {minimized.file}")
