# SPDX-License-Identifier: GPL-2.0-only
"""contract: an -ENOMEM is deserved only where an allocation that the call needs has failed."""

from typing import Final

import pytest

from reference.kvm import kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.services.errors import ENOMEM
from reference.services.structs import kvm_mmu_memory_cache

from .case import ORIGINAL, broken, violations

ENOUGH: Final = "contract: kvm_mmu_topup_memory_cache: top-up fails with enough objects"
VM: Final = "vm cpus=1\nslot a size=2M backing=anon\n"
# The last count fills the cache beyond what a fault needs, and not to its capacity.
FAILING: Final = ("cpu0 write a+0 fail=1", "cpu0 write a+0 fail=2", "cpu0 write a+0 fail=5")


class FillsToTheBrim(Mmu):
    """Wrong: its top-up fails unless the cache is full afterwards."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        failed = self.k.topup_gets >= 0
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        cache = kvm_mmu_memory_cache()
        cache.nobjs = self.kvm_mmu_cache_min_pages(vcpu.kvm)
        if not failed or ret == -ENOMEM:
            return ret
        self.k.topped_up(cache, cache.nobjs, cache.nobjs, -ENOMEM, False)
        return -ENOMEM


class FailsWithoutAllocating(Mmu):
    """Wrong: the first fault fails, whatever memory there is."""

    tried = False

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        if ret or self.tried:
            return ret
        self.tried = True
        return -ENOMEM


def signatures(mmu: type[Mmu], text: str) -> list[str]:
    return [each.signature for each in violations(broken(mmu=mmu), text)]


@pytest.mark.parametrize("access", FAILING)
def test_a_fault_may_fail_if_memory_is_short(access: str) -> None:
    assert violations(ORIGINAL, f"{VM}{access}\n") == []


def test_a_top_up_that_has_reached_its_minimum_must_succeed() -> None:
    assert signatures(FillsToTheBrim, f"{VM}{FAILING[2]}\n") == [ENOUGH]
    assert signatures(FillsToTheBrim, f"{VM}{FAILING[0]}\n") == []


def test_an_error_without_a_failed_allocation_is_undeserved() -> None:
    error = "contract: kvm_handle_guest_abort: error -12"
    assert signatures(FailsWithoutAllocating, f"{VM}{FAILING[2]}\n") == [error]
