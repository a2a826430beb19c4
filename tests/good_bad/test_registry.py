# SPDX-License-Identifier: GPL-2.0-only
"""Each checker is registered, declares its rule, is documented, and has a good and a bad case.

docs/how-to/checker.md tells a contributor what to do when a test here fails.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

import fuzz.checkers
from fuzz.checkers.call_order import CallOrder
from fuzz.checkers.checker import Checker, GuestChecker
from fuzz.checkers.declared_methods import CheckerMethodError, check_methods
from fuzz.checkers.fault_checker import FaultChecker
from fuzz.checkers.live_tables import LiveTables
from fuzz.checkers.refusal_checker import BEYOND, RefusalChecker
from fuzz.checkers.registry import CHECKERS, HEADER, markdown, rules
from fuzz.checkers.rule import NO_RULE, Clause, Rule
from fuzz.checkers.severity import Severity
from fuzz.checkers.shortage_checker import ShortageChecker
from fuzz.checkers.translation import Translation
from fuzz.checkers.visible import VisibleLeaves

from .case import Case

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
# Base classes, which judge nothing themselves.
BASES: Final = (
    Checker,
    GuestChecker,
    CallOrder,
    FaultChecker,
    LiveTables,
    RefusalChecker,
    ShortageChecker,
    VisibleLeaves,
)
# Files with the descriptions of violations. The judge's file describes differences of two versions.
CHECKER_FILES: Final = (*(ROOT / "fuzz" / "checkers").glob("*.py"), ROOT / "fuzz" / "judging" / "stretch.py")
# Pages with the table of rules.
PAGES: Final = (ROOT / "docs" / "findings.md",)


def defined() -> list[type[Checker]]:
    """Return all checker classes in fuzz/checkers except base classes."""
    found: list[type[Checker]] = []
    for module in pkgutil.iter_modules(fuzz.checkers.__path__):
        if module.name == "__main__":
            continue
        for value in vars(importlib.import_module(f"fuzz.checkers.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Checker) and value not in found:
                found.append(value)
    return [kind for kind in found if kind not in BASES]


def cases() -> list[Case]:
    """Return the cases that module-level names of this folder contain."""
    found: list[Case] = []
    for path in sorted(HERE.glob("test_*.py")):
        values: list[Any] = []
        for value in vars(importlib.import_module(f"{__package__}.{path.stem}")).values():
            values += value if isinstance(value, tuple | list) else [value]
        found += [value for value in values if isinstance(value, Case)]
    return found


def unregistered(kinds: Iterable[type[Checker]], registry: tuple[type[Checker], ...]) -> list[str]:
    """Return a message for each class that is not registered."""
    return [f"{kind.__name__}: missing in fuzz/checkers/registry.py" for kind in kinds if kind not in registry]


def undeclared(kind: type[Checker]) -> list[str]:
    """Return the parts that the declaration of a class lacks."""
    rule = kind.rule
    if rule is NO_RULE:
        return [f"{kind.__name__}: declares no rule; give it `rule = Rule(...)`"]
    if sum(not clause.patterns for clause in rule.clauses) != 1:
        needs = "exactly one clause must have no patterns: it takes the violations that match no other clause"
        return [f"{kind.__name__}: {needs}"]
    wrong = [
        f"{kind.__name__}: its rule says nothing in {field}" for field in ("holds", "why") if not getattr(rule, field)
    ]
    if rule.name != rule.name.lower() or ":" in rule.name or not rule.name:
        wrong.append(f"{kind.__name__}: {rule.name!r} cannot begin a signature")
    if rule.severity == Severity.DIFFERENCE:
        wrong.append(f"{kind.__name__}: a violation is more than a difference")
    return wrong


def untested(rule: Rule, known: Iterable[Case]) -> str:
    """Return a message if no case shows a rule both held and broken; "" if one does."""
    mine = [case for case in known if case.signature.startswith(f"{rule.name}: ")]
    if not mine:
        return f"{rule.name}: no case in tests/good_bad has a signature that begins with it"
    for case in mine:
        if case.all_good() == [] and case.first_bad() == case.signature:
            return ""
    return (
        f"{rule.name}: no case in tests/good_bad shows both: a good candidate that breaks nothing, a bad one that does"
    )


def unsaid(rule: Rule) -> list[str]:
    """Return the patterns of clauses with words that no checker uses."""
    sources = "".join(path.read_text() for path in CHECKER_FILES)
    return [
        pattern
        for clause in rule.clauses
        for pattern in clause.patterns
        if not all(words in sources for words in re.split(r"\*|: ", pattern))
    ]


def misplaced(pages: Iterable[Path], table: str) -> str:
    """Return a message if the table in the documentation is missing or outdated; "" if it is right."""
    shown = [page for page in pages if page.is_file() and HEADER in page.read_text()]
    if not shown:
        return f"no page has the table of rules: {', '.join(page.name for page in pages)}"
    old = [page.name for page in shown if f"\n{table}\n" not in page.read_text()]
    return f"{', '.join(old)}: replace the table with the output of `python -m fuzz.checkers`" if old else ""


def test_every_class_is_registered() -> None:
    assert unregistered(defined(), CHECKERS) == []
    assert len(CHECKERS) == len(set(CHECKERS))


@pytest.mark.parametrize("kind", CHECKERS, ids=lambda kind: kind.__name__)
def test_every_class_declares_its_rule(kind: type[Checker]) -> None:
    assert undeclared(kind) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_patterns_of_clauses_use_words_of_checkers(rule: Rule) -> None:
    assert unsaid(rule) == []


def test_a_violation_breaks_one_clause() -> None:
    """The rule of `contract` has many clauses, and each finding shows the clause that it breaks."""
    (contract,) = (rule for rule in rules() if rule.name == "contract")
    assert contract.broken("contract: f: WARN in g") == "no warning"
    assert contract.broken("contract: f: error -22") == "no undeserved error"
    assert contract.broken(f"contract: f: error -22 for {BEYOND.why}") == "what KVM must refuse gets the right error"
    assert len(contract.clauses) == len(contract.holds.split("; "))


def test_each_name_denotes_one_rule() -> None:
    assert len({kind.rule.name for kind in CHECKERS}) == len({id(kind.rule) for kind in CHECKERS})


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_every_rule_has_a_good_and_a_bad_case(rule: Rule) -> None:
    assert untested(rule, cases()) == ""


def test_the_documentation_has_every_rule() -> None:
    assert misplaced(PAGES, markdown()) == ""


class NewChecker(Checker):
    """Is not registered and declares no rule."""


class ManyClauses(Checker):
    """Has no patterns that assign a violation to a clause."""

    rule = Rule("many", (Clause("nothing is new"), Clause("all is old")), "nobody would know", Severity.HANG)


NEW: Final = Rule("new", "nothing is new", "nobody would know", Severity.HANG)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    assert unregistered([NewChecker], CHECKERS) == ["NewChecker: missing in fuzz/checkers/registry.py"]
    assert undeclared(NewChecker) == ["NewChecker: declares no rule; give it `rule = Rule(...)`"]
    assert undeclared(ManyClauses) == [
        "ManyClauses: exactly one clause must have no patterns: it takes the violations that match no other clause"
    ]
    assert untested(NEW, cases()) == "new: no case in tests/good_bad has a signature that begins with it"
    assert unsaid(
        Rule("new", (Clause("all is old"), Clause("nothing is new", "*: a new *t thing*")), "", Severity.HANG)
    ) == ["*: a new *t thing*"]
    page = tmp_path / "findings.md"
    assert misplaced([page], markdown()) == "no page has the table of rules: findings.md"
    page.write_text(f"\n{markdown()}| new | nothing is new |\n\n")
    wanted = "findings.md: replace the table with the output of `python -m fuzz.checkers`"
    assert misplaced([page], markdown()) == wanted


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_a_rule_without_its_cases_is_named(rule: Rule) -> None:
    others = [case for case in cases() if not case.signature.startswith(f"{rule.name}: ")]
    assert untested(rule, others).startswith(f"{rule.name}: no case")


def test_a_case_that_shows_nothing_does_not_count() -> None:
    one = next(case for case in cases() if case.signature.startswith("tlb: "))
    (tlb,) = (rule for rule in rules() if rule.name == "tlb")
    assert untested(tlb, [one]) == ""
    assert "both" in untested(tlb, [Case(one.name, one.signature, one.good, one.text)])
    assert "both" in untested(tlb, [Case(one.name, one.signature, one.bad, one.text, one.bad)])


def slips() -> dict[str, tuple[type[Checker], str]]:
    """Return classes with a slip, and the words about it."""

    class Misspelt(GuestChecker):
        def chnaged(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None: ...

    class Case(Checker):
        def plainStore(self, ptep: int, old: int, new: int) -> None: ...

    class Short(Checker):
        def Put(self, page: int, count: int) -> None: ...

    class Fewer(Checker):
        def tlbi_ipa(self, vmid: int, ipa: int) -> None: ...  # type: ignore[override]

    class More(Checker):
        def dsb(self, domain: str, more: int, most: int) -> None: ...  # type: ignore[override]

    class Exchanged(Checker):
        def tlbi_ipa(self, ipa: int, vmid: int, level: int) -> None: ...  # type: ignore[override]

    class Value(Checker):
        store = 3  # type: ignore[assignment]

    class Below(Misspelt):
        def scan(self) -> None: ...

    return {
        "misspelt": (Misspelt, "chnaged: never called (did you mean 'changed'?)"),
        "case": (Case, "plainStore: never called (did you mean 'plain_store'?)"),
        "short": (Short, "Put: never called (did you mean 'put'?)"),
        "fewer": (Fewer, "tlbi_ipa: it is called with (vmid, ipa, level) and takes (vmid, ipa)"),
        "more": (More, "dsb: it is called with "),
        "exchanged": (Exchanged, "tlbi_ipa: it gets vmid where it takes ipa"),
        "value": (Value, "store: not a method, but an event has this name"),
        "in a base": (Below, "chnaged: never called"),
    }


@pytest.mark.parametrize("slip", slips())
def test_a_method_that_would_not_be_called_is_an_error(slip: str) -> None:
    kind, said = slips()[slip]
    with pytest.raises(CheckerMethodError) as error:
        check_methods(kind)
    assert said in str(error.value)
    assert str(error.value).startswith("tests.good_bad.test_registry.slips.<locals>.")


def test_other_methods_are_not_errors() -> None:
    class Sound(GuestChecker):
        def store(self, ptep: int, old: int, new: int, released: bool = False) -> None: ...

        def changed(self, *all_of_them: int) -> None: ...

        def cut(self) -> None: ...

        def _changde(self) -> None: ...

    check_methods(Sound)
    assert all(check_methods(kind) is None for kind in CHECKERS)  # type: ignore[func-returns-value]


# Violations of which the general explanation of their rule is not true.
EXPLAINED: Final = {
    "translation": ("wrong frame", "leaf outside of any slot", "change outside the range", "reserved encoding"),
    "page-reference": ("mapped writable, not marked dirty", "mapped, not marked accessed"),
    "locking": (
        *("VMA read after the mmap lock was dropped", "user page tables walked with interrupts on"),
        *("root unlinked without mmu_lock", "interrupts on on return", "entry written without mmu_lock"),
    ),
    "tlb": ("two sizes for one address", "flushed with the hint of another level"),
    "dcache": ("device frame cleaned",),
    "fault-order": ("marked dirty before it was mapped writable", "invalidation left in progress"),
    "lifetime": ("root larger than VTCR_EL2 says", "root smaller than VTCR_EL2 says"),
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_an_explanation_is_true_of_the_violation_that_it_is_printed_for(name: str) -> None:
    rule = next(rule for rule in rules() if rule.name == name)
    for what in EXPLAINED[name]:
        assert rule.reason(f"{name}: somewhere: {what}") != rule.why, what


def test_only_what_stays_mapped_is_explained_by_a_frame_that_the_host_took_back() -> None:
    rule = Translation.rule
    for pattern, _, _ in rule.finer:
        assert "still mapped" in pattern or rule.reason(f"{rule.name}: {pattern}") != rule.why, pattern
