# SPDX-License-Identifier: GPL-2.0-only
"""Notifiers called by the OOM reaper in trees: each kind of sleeping call is found in them, and only there."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN
from fuzz.language.text import parse
from tests.good_bad.case import all_found

from .trees import edited, version

# After the declarations of kvm_mmu_notifier_invalidate_range_start() and of ..._end(), in 6.12.
START: Final = "\ttrace_kvm_unmap_hva_range(range->start, range->end);\n"
END: Final = "\tbool wake;\n"
REAP: Final = "vm\nslot a size=4K backing=anon\ncpu0 read a+0\nhost reap a+0 4K\n"
NOTIFIER: Final = "locking: kvm_mmu_notifier_invalidate_range_start"


def shown(tree: str, program: str) -> list[str]:
    """Return the signatures of the violations of a tree on its own."""
    return [each.signature for each in all_found(candidate.get(tree), parse(f"s2fuzz 1\n{program}"))]


@pytest.mark.parametrize(
    ("call", "signature"),
    [
        ("mutex_lock(&kvm->slots_lock);\n\tmutex_unlock(&kvm->slots_lock);", f"{NOTIFIER}: sleeping call in a"),
        ("synchronize_srcu(&kvm->irq_srcu);", f"{NOTIFIER}: sleeping call in a"),
        ("cond_resched();", "locking: cond_resched: rescheduling in a"),
    ],
)
def test_a_sleeping_call_in_a_notifier_that_must_not_block_is_found(call: str, signature: str, tmp_path: Path) -> None:
    tree = edited("6.12", tmp_path / "tree", KVM_MAIN, ((START, f"{START}\n\t{call}\n"),))
    assert shown(tree, REAP) == [f"{signature} notifier that must not block"]
    assert shown(tree, REAP.replace("reap", "discard")) == []


def test_the_end_of_an_invalidation_must_not_block_either(tmp_path: Path) -> None:
    tree = edited("6.12", tmp_path / "tree", KVM_MAIN, ((END, f"{END}\n\tcond_resched();\n"),))
    assert shown(tree, REAP) == ["locking: cond_resched: rescheduling in a notifier that must not block"]
    assert shown(tree, REAP.replace("reap", "discard")) == []


def test_a_start_that_fails_is_a_warning_of_the_host(tmp_path: Path) -> None:
    wrong = ((START, f"{START}\n\tif (!mmu_notifier_range_blockable(range))\n\t\treturn -EAGAIN;\n"),)
    tree = edited("6.12", tmp_path / "tree", KVM_MAIN, wrong)
    assert shown(tree, REAP)[:1] == ["contract: mmu_notifier_invalidate_range_start: WARN"]


@pytest.mark.parametrize("name", ["5.12.9", "6.1", "6.12", "7.3"])
def test_kernels_do_not_sleep_in_these_notifiers(name: str) -> None:
    far = "vm resched=1\nslot a ipa=1022M size=4M backing=anon\ncpu0 read a+0\ncpu0 read a+2M\nhost reap a+0 4M\n"
    assert shown(version(name), far) == []
