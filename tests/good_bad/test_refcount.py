# SPDX-License-Identifier: GPL-2.0-only
"""refcount: 1 + the number of valid entries."""

import candidate

from .case import Case, broken, each
from .switched import Coalesce, CoalesceFirst, Map, Split, Unmap

COALESCE = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu0 read a+4K\n"
UNMAP = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\nhost discard a+0 4K\n"

CASES = (
    Case(
        "map without get",
        "refcount: stage2_map_walker: too few references L3",
        Map.without("get"),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "split without put",
        "refcount: stage2_map_walker: too many references L2",
        Split.without("put"),
        "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu0 write a+0\n",
    ),
    Case(
        "coalesce without put",
        "refcount: stage2_map_walker: too many references L2",
        Coalesce.without("put"),
        COALESCE,
    ),
    Case(
        "coalesce with a put too many",
        "refcount: stage2_map_walker: too few references L2",
        broken(CoalesceFirst),
        COALESCE,
        candidate.get("rfc-v1-3"),
    ),
    Case(
        "unmap without put",
        "refcount: stage2_unmap_walker: too many references L3",
        Unmap.without("put"),
        UNMAP,
    ),
)


@each(CASES)
def test_refcount_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_refcount_bad(case: Case) -> None:
    assert case.first_bad() == case.signature
