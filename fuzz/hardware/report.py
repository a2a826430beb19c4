# SPDX-License-Identifier: GPL-2.0-only
"""The report of a session with QEMU, as text and as JSON."""

from dataclasses import dataclass
from typing import Any

from .differences import Differences
from .session import QemuSession


@dataclass(frozen=True)
class Report:
    """The outcome of a session.

    :param qemu: QEMU's version
    :param session: the session, ended or not
    :param differences: the differences that it found
    :param seconds: its duration
    """

    qemu: str
    session: QemuSession
    differences: Differences
    seconds: float

    def text(self) -> str:
        """Return the report as text."""
        asked, guests = self.session.asked, self.session.guests
        lines = [kind.text() + "\n" for kind in self.differences.kinds.values()]
        lines.append(f"{self.qemu}: {asked} translations of {guests} sets of tables in {self.seconds:.1f} s")
        found = sorted(self.session.deviations.items(), key=lambda item: item[0].name)
        lines += [f"left out, a known deviation: {deviation.name}: {count}" for deviation, count in found]
        lines.append(self.summary())
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """Return one line about the differences."""
        kinds = self.differences.kinds.values()
        if not kinds:
            return "no difference"
        count = sum(kind.count for kind in kinds)
        return f"{count} difference{'s' if count > 1 else ''} of {len(kinds)} kind{'s' if len(kinds) > 1 else ''}"

    def answer(self) -> dict[str, Any]:
        """Return the result for ``--json``.

        The keys are ``qemu`` (version), ``translations``, ``tables`` (their number), ``seconds``, ``left_out`` (count
        for each deviation), ``differences`` (for each kind ``where``, ``count``, ``file`` or null, ``text``).
        """
        return {
            "qemu": self.qemu,
            "translations": self.session.asked,
            "tables": self.session.guests,
            "seconds": round(self.seconds, 3),
            "left_out": {deviation.name: count for deviation, count in self.session.deviations.items()},
            "differences": [
                {"where": kind.where, "count": kind.count, "file": kind.file or None, "text": kind.text()}
                for kind in self.differences.kinds.values()
            ],
        }
