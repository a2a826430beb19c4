# SPDX-License-Identifier: GPL-2.0-only
"""All checker classes, in order; a class that is not listed here judges nothing.

docs/how-to/checker.md lists what else a checker needs.
"""

from collections.abc import Iterator
from typing import Final

from .ageing import Ageing, AgeingResults
from .bbm import Bbm
from .checker import Checker, GuestChecker
from .context import Context
from .contract import Contract
from .dcache import Dcache
from .declared_methods import check_all
from .dirty_log import DirtyLog
from .dirty_state import DirtyState
from .fault_order import FaultOrder
from .file_order import FileOrder
from .hyp import Hyp
from .icache import Icache
from .invalidated_range import InvalidatedRange
from .isolation import Isolation
from .leak import Leak
from .lifetime import Lifetime
from .locking import Locking
from .log_order import LogOrder
from .log_store import LogStore
from .memcache import Memcache
from .page_pins import Pins
from .page_reference import PageReference
from .plain_store import PlainStore
from .prefault import Prefault
from .progress import Progress
from .refcount import Refcount
from .rights import Rights
from .ring_entry import RingEntry
from .rule import Rule
from .shadow import Shadow
from .slot_lifetime import SlotLifetime
from .slot_order import SlotOrder
from .table_lock import TableLock
from .tags import ClearedTags, Tags
from .tlb import Tlb
from .translation import Translation
from .unmapped_range import UnmappedRange
from .walk_order import WalkOrder

# The order decides which of two violations at one event is the first. Adjacent classes with one
# checker per VM are called VM by VM.
CHECKERS: Final[tuple[type[Checker], ...]] = (
    # The other checkers ask it for the tables.
    Shadow,
    Progress,
    Contract,
    Locking,
    SlotLifetime,
    Memcache,
    Pins,
    ClearedTags,
    # A walk of a freed table is reported before the frame that the table names.
    Lifetime,
    Isolation,
    Tlb,
    Bbm,
    Refcount,
    Dcache,
    Icache,
    Tags,
    UnmappedRange,
    Translation,
    InvalidatedRange,
    Rights,
    TableLock,
    FaultOrder,
    SlotOrder,
    FileOrder,
    PageReference,
    Prefault,
    DirtyLog,
    DirtyState,
    LogOrder,
    LogStore,
    RingEntry,
    Ageing,
    AgeingResults,
    Hyp,
    PlainStore,
    Context,
    WalkOrder,
    Leak,
)

check_all(CHECKERS)

# Header of the table in the documentation.
HEADER: Final = "| checker | holds | why it matters | severity |"


def _runs() -> Iterator[tuple[list[type[Checker]], list[type[GuestChecker]]]]:
    """Yield the registry in runs: classes with one checker per side, then classes with one checker per VM."""
    of_side: list[type[Checker]] = []
    of_guest: list[type[GuestChecker]] = []
    for kind in CHECKERS:
        if issubclass(kind, GuestChecker):
            of_guest.append(kind)
            continue
        if of_guest:
            yield of_side, of_guest
            of_side, of_guest = [], []
        of_side.append(kind)
    yield of_side, of_guest


RUNS: Final = tuple(_runs())


def rules() -> list[Rule]:
    """Return the rules of all checkers, each once, in order of weight, heaviest first."""
    return sorted({kind.rule.name: kind.rule for kind in CHECKERS}.values(), key=_weight)


def rule_of(signature: str) -> Rule | None:
    """Return the rule that a violation with this signature breaks; None: no rule, such as a difference of two sides."""
    name = signature.partition(":")[0]
    return next((rule for rule in rules() if rule.name == name), None)


def _weight(rule: Rule) -> tuple[int, int]:
    """Return the level and rank of the rule's worst violation."""
    return min((severity, rank) for _, severity, rank in rule.grades())


def markdown() -> str:
    """Return the rules as a Markdown table for docs/findings.md (``python -m fuzz.checkers`` prints it)."""
    rows = [f"| {rule.name} | {rule.holds} | {rule.why} | {levels(rule)} |" for rule in rules()]
    return "\n".join([HEADER, "|---|---|---|---|", *rows]) + "\n"


def levels(rule: Rule) -> str:
    """Return the levels that violations of a rule can have, the default level first."""
    found = [rule.severity, *sorted({severity for _, severity, _ in rule.finer} - {rule.severity})]
    return ", ".join(severity.name.lower() for severity in found)
