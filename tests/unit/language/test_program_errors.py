# SPDX-License-Identifier: GPL-2.0-only
"""The rules that make a program illegal:

line, mistake and allowed alternatives of each; and cases that are just legal.
"""

import pickle
from dataclasses import replace
from itertools import product
from typing import cast

import pytest

from fuzz.language import operations as ops
from fuzz.language import program as model
from fuzz.language.bounds import wanted_backings
from fuzz.language.forms import FORMS
from fuzz.language.program import (
    BACKINGS,
    DEVICES,
    GIB,
    GRANULES,
    MEMFD,
    UNLOGGED,
    Program,
    ProgramError,
    Slot,
    Vm,
)
from fuzz.language.text import parse, print_program
from fuzz.language.validate import validate

from .slots import SLOTS

HEAD = "s2fuzz 1\nvm\n"

NUMBER = "decimal with an optional K, M or G, or 0x and hexadecimal"
NAME = "a-z, then up to 7 of a-z and 0-9, but not host, log, vm, slot, table, hyp or cpuN"
VCPUS = "cpu0 to cpu31 (the last one with cpus=8 vms=4)"
STATEMENTS = f"{VCPUS}, host, log, slot, table, hyp, vm end, par"
ASCII, LIMIT = "printable ASCII, tabs, comments", "at most 0x10000000000000"
SIZES, TO_4092K = "4K to 16G in steps of 4K", "4K to 4092K in steps of 4K"
PLACES, HYP_PLACES = "0 to 1073741820K in steps of 4K", "0 to 0xffffffffffff"
PAGED, DEVICE = "anon, thp", "slot d has backing=device"
RAM = "anon, thp, hugetlb64k, hugetlb2m, hugetlb32m, hugetlb1g"
MEMORY = f"{RAM}, memfd"
NO_RAM = ", ".join((*DEVICES, MEMFD))
WORDS_64 = "multiples of 256K (64 pages), or a size up to the end of the slot"
GONE, BACK = "slot a is deleted at this point", "after slot a create"
VM, SLOT = FORMS[0][1], FORMS[1][1]
USES = {
    at: ", ".join(use for make, use in FORMS if use.startswith(at) and make is not Slot)
    for at in ("cpuN", "host", "log", "table", "hyp")
}

# By name: the text, the line, the mistake, the allowed alternatives.
TEXT_ERRORS = {
    "empty": ("", 1, "there is no program", "a text that begins with s2fuzz 1"),
    "no header": ("\nvm\n", 2, "the first line is 'vm'", "s2fuzz 1"),
    "version": ("s2fuzz 2\nvm\n", 1, "unknown version '2'", "1"),
    "no vm": ("#\ns2fuzz 1\n\n", 2, "no vm line after s2fuzz 1", VM),
    "slot for vm": ("s2fuzz 1\nslot a\n", 2, "'slot' instead of vm", VM),
    "no slot": (HEAD, 2, "no slot", "1 to 8, right after vm"),
    "only slots that come and go": (HEAD + "slot a delete", 2, "no slot", "1 to 8, right after vm"),
    "slot": (SLOTS + "cpu0 setway\nslot", 8, "slot after an operation", "slots right after vm"),
    "late slot": (SLOTS + "slot a delete\nslot b size=4K backing=thp", 8, "slot after an operation",
                  "slots right after vm"),
    "slots": (HEAD + "".join(f"slot a{n} size=4K backing=thp\n" for n in range(9)), 11, "too many slots", "1 to 8"),
    "count": (SLOTS + "cpu0 setway\n" * 10_001, 10_007, "too many operations", "0 to 10000"),
    "vm first": ("s2fuzz 1\nvm cpus=0\nslot", 2, "cpus=0", "1 to 8"),
    "first of two": (SLOTS + "cpu4 setway\nnonsense", 7, "cpu4", "cpu0 to cpu3"),
    "huge number": (SLOTS + "cpu0 read a+" + "9" * 9999, 7, f"'{'9' * 40}' is too large", LIMIT),
    "first slot an alias": (HEAD + "slot a size=4K backing=thp alias=b\n", 3, "alias='b'", "a slot declared above"),
    "clear without manual": (HEAD + "slot a size=4M backing=thp log=on\nlog a clear 0 4M", 4,
                             "log clear with manual=off", "manual=on, manual=set"),
    "vms": ("s2fuzz 1\nvm vms=3\nslot a size=4K backing=thp vm=3\n", 3, "vm=3", "0 to 2"),
    "huge page of another host": ("s2fuzz 1\nvm granule=16K\nslot a size=1M backing=hugetlb64k\n", 3,
                                  "backing='hugetlb64k'",
                                  "anon, thp, hugetlb2m, hugetlb32m, hugetlb1g, " + NO_RAM),
    "pages of 16K": ("s2fuzz 1\nvm granule=16K\nslot a size=4K backing=thp\n", 3, "size=4K",
                     "16K to 16G in steps of 16K"),
    "pages of 64K": ("s2fuzz 1\nvm granule=64K\nslot a size=1M backing=thp\nhost split a+4K\n", 4,
                     "no such place in slot a: a+4K", "0 to 960K in steps of 64K"),
    "64 pages of 64K": ("s2fuzz 1\nvm granule=64K manual=set\nslot a size=16M backing=thp log=on\nlog a clear 1M 4M\n",
                        4, "log clear of a+1M 4M",
                        "multiples of 4M (64 pages), or a size up to the end of the slot"),
    "map of 16K pages": ("s2fuzz 1\nvm granule=16K\nslot a size=2G backing=anon\ntable map a+0 0x10000001 r\n", 4,
                         "size 0x10000001", "0x1 to 256M"),
    "hyp with 64K pages": ("s2fuzz 1\nvm granule=64K\nslot a size=64K backing=anon\nhyp map 0 0 0x10000001 r\n", 4,
                           "size 0x10000001", "0x1 to 256M"),
}  # fmt: skip
VM_ERRORS = {
    "granule=8K": ("granule=8K", "4K, 16K, 64K"),
    "granule=0": ("granule=0", "4K, 16K, 64K"),
    **{f"ipa={bits}": (f"ipa={bits}", "32 to 48, with pa=52 to 52") for bits in (31, 49)},
    "ipa=52": ("ipa=52", "32 to 48, with pa=52 to 52"),
    "granule=odd": ("granule='odd' is not a size", NUMBER),
    "ipa=0x28": ("ipa='0x28' is not a number", "decimal"),
    "pa=50": ("pa=50", "48, 52"),
    "pa=52 ipa=53": ("ipa=53", "32 to 52"),
    "cpus=9": ("cpus=9", "1 to 8"),
    **{f"vms={count}": (f"vms={count}", "1 to 4") for count in (0, 5)},
    **{f"{flag}=yes": (f"{flag}='yes'", "on, off") for flag in ("fwb", "dic", "ttl", "range", "haf")},
    "manual=yes": ("manual='yes'", "off, on, set"),
    **{f"fail={count}": (f"fail={count}", "1 to 3") for count in (0, 4)},
    "ram=1": ("unknown 'ram=1'", VM),
    "ttl=on ttl=on": ("second ttl=", "each option once"),
}
SLOT_ERRORS = {
    **{f"slot {name} size=4K backing=thp": (f"slot name '{name}'", NAME)
       for name in ("B", "b-", "b23456789", "cpu9", "cpu10", "host", "log", "vm", "slot", "table", "hyp")},
    "slot a size=4K backing=thp": ("second slot a", "each name once"),
    "slot b backing=thp": ("size= is missing", SLOT),
    "slot b size=4K": ("backing= is missing", SLOT),
    "slot b size=big backing=thp": ("size='big' is not a size", NUMBER),
    "slot b size=4K backing=thp ipa=low": ("ipa='low' is not an address", NUMBER),
    "slot b fly": ("unknown 'fly'", SLOT),
    "slot b size=4K backing=ram": ("backing='ram'", ", ".join((*BACKINGS, MEMFD))),
    "slot b size=4K backing=hugetlb512m": ("backing='hugetlb512m'", f"{RAM}, {NO_RAM}"),
    **{f"slot b size={size} backing=thp": (f"size={size}", SIZES) for size in ("0", "1K", "17G")},
    **{f"slot b size=4K backing=thp offset={offset}": (f"offset={offset}", "0 to 1048572K in steps of 4K")
       for offset in ("2K", "1G")},
    "slot b size=4K backing=thp vm=2": ("vm=2", "0 to 1"),
    "slot b size=4K backing=thp ipa=1K": ("ipa=1K", PLACES),
    "slot b size=4K backing=thp ipa=1024G": ("ipa=1024G", PLACES),
    "slot b size=2G backing=thp ipa=1023G": ("slot b ends at 1025G", "up to 1024G with ipa=40"),
    "slot b size=1G backing=thp ipa=1028K": ("slot b overlaps slot a", "slots that do not overlap"),
    "slot b size=4K backing=thp vm=1 ipa=4G": ("slot b overlaps slot o", "slots that do not overlap"),
    **{f"slot b size=4K backing={backing} log=on": (f"log=on with backing={backing} (-EINVAL)", "log=off")
       for backing in DEVICES},
    "slot b size=4K backing=memfd log=on": ("log=on with backing=memfd (-EINVAL)", "log=off"),
    "slot b size=4K backing=memfd ro=on": ("ro=on with backing=memfd (-EINVAL)", "ro=off"),
    "slot b size=4K backing=memfd alias=a": ("alias= with backing=memfd", "a slot with memory of its own"),
    **{f"slot b size=4K backing=thp alias={name}": (f"alias='{name}'", "a, d, h, o") for name in ("z", "b")},
    "slot b size=4K backing=thp alias=": ("alias='' is not a name", "the name of a slot"),
    "slot b size=4K backing=thp alias=a\nslot c size=4K backing=thp alias=b":
        ("alias=b, which is an alias itself", "a slot with memory of its own"),
    **{f"slot b size=4K backing={backing} alias=a": (f"backing={backing} and alias=a", "thp")
       for backing in ("anon", "hugetlb2m", *DEVICES)},
    **{f"slot b size={size} backing=thp offset={offset} alias=a":
       ("slot b ends beyond slot a", "offset and size within the 4M of slot a")
       for size, offset in (("4M", "4K"), ("4100K", "0"), ("4K", "4M"))},
}  # fmt: skip
GUEST_ERRORS = {
    **{f"{cpu} setway": (f"unknown statement '{cpu}'", STATEMENTS) for cpu in ("cpu32", "cpuN", "cpu", "cpu00")},
    "cpu0 jump a+0": ("unknown operation 'cpu0 jump a+0'", USES["cpuN"]),
    **{f"cpu4 {rest}": ("cpu4", "cpu0 to cpu3") for rest in ("setway", "read a+0", "reset", "cache on", "move 0")},
    "cpu0 setway now": ("unknown 'now'", "cpuN setway"),
    "cpu0 move 2": ("move 2", "0 to 1"),
    "cpu2 move 2": ("move 2", "0 to 1"),
    "cpu0 move": ("'cpu0 move' is incomplete", "cpuN move COUNT"),
    "cpu0 move 1K": ("'1K' is not a number", "decimal"),
    "cpu0 cache yes": ("'yes'", "on, off"),
    "cpu0 read a": ("'a' is not a place", "SLOT+OFF, for example a+4K"),
    "cpu0 read z+0": ("unknown slot 'z'", "a, d, h, o"),
    "cpu0 read +0": ("unknown slot ''", "a, d, h, o"),
    **{f"cpu0 read a+{word}": (f"{word!a} is not an offset", NUMBER) for word in ("", "4k", "-1")},
    **{f"cpu0 read a+{odd}": (f"character {odd!a}", ASCII) for odd in "\u0663\u00b2\0\x85\udc80"},
    "cpu0 read a+0x10000000000001": ("'0x10000000000001' is too large", LIMIT),
    **{f"cpu0 {verb} a+4M": ("no such place in slot a: a+4M", "0 to 0x3fffff")
       for verb in ("read", "write", "fetch", "speculate", "evict")},
    **{f"cpu0 read a+0 fail={n}": (f"fail={n}", "1 to 99") for n in (0, 100)},
    "cpu0 speculate a+0 fail=1": ("unknown 'fail=1'", "cpuN speculate SLOT+OFF"),
    **{f"cpu2 {verb} a+0": ("cpu2 has no slot a", "cpu0, cpu1") for verb in ("read", "write", "speculate", "evict")},
    **{f"cpu1 {verb} o+0": ("cpu1 has no slot o", "cpu2, cpu3") for verb in ("fetch", "speculate", "evict")},
}  # fmt: skip
HOST_ERRORS = {
    "host": ("unknown operation 'host'", USES["host"]),
    "host write a+0": ("'host write a+0' is incomplete", "host write SLOT+OFF SIZE"),
    "host write z+0 4K": ("unknown slot 'z'", "a, d, h, o"),
    **{f"host {verb} a+1": ("no such place in slot a: a+0x1", "0 to 4092K in steps of 4K")
       for verb in ("collapse", "split", "merge", "testage")},
    **{f"host {verb} a+4K {size}": (f"size {size}", TO_4092K) for size in ("0", "0x1", "4M")
       for verb in ("age", "write", "writeback", "migrate", "discard", "share")},
    **{f"host {verb} d+0 4K": (DEVICE, RAM) for verb in ("migrate",)},
    **{f"host {verb} d+0 4K": (DEVICE, MEMORY) for verb in ("write", "writeback", "discard")},
    **{f"host {verb} {slot}+0{size}": (f"slot {slot} has backing={backing}", PAGED)
       for verb, size in [("collapse", ""), ("split", ""), ("merge", ""), ("share", " 4K")]
       for slot, backing in [("d", "device"), ("h", "hugetlb2m")]},
    **{f"host age a+0 4K {word}": (f"unknown '{word}'", "host age SLOT+OFF SIZE [flush=on|off]")
       for word in ("flush", "mmu=on")},
}  # fmt: skip
LOG_ERRORS = {
    "log a": ("unknown operation 'log a'", USES["log"]),
    "log z get": ("unknown slot 'z'", "a, d, h, o"),
    **{f"log d {verb}": (DEVICE, RAM) for verb in ("get", "clear 0 1M")},
    **{f"log a off\nlog a {verb}": ("log a is off at this point", f"{verb.split()[0]} after log a on")
       for verb in ("get", "clear 0 4M")},
    "log a clear 0": ("'log a clear 0' is incomplete", "log SLOT clear OFF SIZE [fail=COUNT]"),
    "log a clear 4M 4K": ("no such place in slot a: a+4M", "0 to 4092K in steps of 4K"),
    "log a clear 4K 4M": ("size 4M", TO_4092K),
    **{f"log a clear {where}": (f"log clear of a+{where}", WORDS_64)
       for where in ("4K 256K", "0 4K", "256K 260K", "3844K 252K", "4K 4092K")},
}  # fmt: skip
LIFE_ERRORS = {
    **{f"slot z {verb}": ("unknown slot 'z'", "a, d, h, o") for verb in ("delete", "create", "move 8G")},
    "slot a create": ("slot a exists", "create after slot a delete"),
    "slot a delete now": ("unknown 'now'", "slot SLOT delete"),
    "slot a move": ("'slot a move' is incomplete", "slot SLOT move ADDRESS [fail=COUNT]"),
    **{f"slot a delete\n{use}": (GONE, BACK)
       for use in ("slot a delete", "slot a move 8G", "log a on", "log a off", "log a get", "table map a+0 4K rw",
                   "table unmap a+0 4K", "table wrprotect a+0 4K", "table flush a+0 4K", "table mkyoung a+0",
                   "table mkold a+0", "table isyoung a+0", "table relax a+0 r")},
    "slot a delete\nlog a clear 0 4M": ("log a is off at this point", "clear after log a on"),
    "slot a delete\nslot a create\nlog a get": ("log a is off at this point", "get after log a on"),
    "slot d delete\nslot d create log=on": ("log=on with backing=device (-EINVAL)", "log=off"),
    **{f"slot d {verb} fail={n}": (f"fail={n}", "1 to 99") for n in (0, 100)
       for verb in ("delete\nslot d create", "move 8G")},
    **{f"slot {verb} {ipa}": (f"slot {name} overlaps slot {other}", "slots that do not overlap")
       for verb, ipa, name, other in [("a move", "2G", "a", "d"), ("a move", "2045M", "a", "d"),
                                      ("d move", "1049600K", "d", "a"), ("h move", "2096128K", "h", "d")]},
    "slot a delete\nslot d move 1027M\nslot a create": ("slot a overlaps slot d", "slots that do not overlap"),
    "slot a delete\nslot a create ipa=3G": ("slot a overlaps slot h", "slots that do not overlap"),
    "slot a move 8G\nslot a delete\nslot h move 8G\nslot a create":
        ("slot a overlaps slot h", "slots that do not overlap"),
    **{f"slot a {verb}{ipa}": (f"{what}{ipa}", "0 to 1024G in steps of 4K") for ipa in ("1K", "1073741828K")
       for verb, what in (("move ", "move "), ("delete\nslot a create ipa=", "ipa="))},
    "slot a move 1048572M\nslot h move 1048575M": ("slot h overlaps slot a", "slots that do not overlap"),
}  # fmt: skip
DIRECT_ERRORS = {
    "table fly a+0": ("unknown operation 'table fly a+0'", USES["table"]),
    "table map a+0 4K": ("'table map a+0 4K' is incomplete", "table map SLOT+OFF SIZE r|rw|rx|rwx [fail=COUNT]"),
    **{f"table {verb} a+0{size} w": ("'w'", "r, rw, rx, rwx") for verb, size in (("map", " 4K"), ("relax", ""))},
    **{f"table {verb} z+0{rest}": ("unknown slot 'z'", "a, d, h, o")
       for verb, rest in (("unmap", " 1"), ("mkold", ""), ("relax", " r"))},
    **{f"table {verb} a+4M{rest}": ("no such place in slot a: a+4M", "0 to 0x3fffff")
       for verb, rest in (("map", " 1 r"), ("unmap", " 1"), ("wrprotect", " 1"), ("flush", " 1"), ("mkyoung", ""),
                          ("mkold", ""), ("isyoung", ""), ("relax", " r"))},
    **{f"table {verb} a+{place} {size}{rest}": (f"size {size}", allowed)
       for verb, rest in (("map", " r"), ("unmap", ""), ("wrprotect", ""), ("flush", ""))
       for place, size, allowed in (("0", "0", "0x1 to 4M"), ("0x1fff", "0x3ff001", "0x1 to 4092K"),
                                    ("0x3fffff", "0x1001", "0x1 to 4K"))},
    "cpu0 setway\ntable map o+0 0x1000001 rw": ("size 0x1000001", "0x1 to 16M"),
    **{f"table map a+0 4K r fail={n}": (f"fail={n}", "1 to 99") for n in (0, 100)},
    "hyp": ("unknown operation 'hyp'", USES["hyp"]),
    "hyp map 0 0 4K": ("'hyp map 0 0 4K' is incomplete", USES["hyp"]),
    "hyp map 0 0 4K x": ("'x'", "r, rw, rx, device, w, rwx, xdevice"),
    "hyp map 0x1000000000000 0 1 r": ("va 262144G", HYP_PLACES),
    "hyp map 0 0x1000000000000 1 r": ("pa 262144G", HYP_PLACES),
    **{f"hyp map 0 0 {size} r": (f"size {size}", "0x1 to 16M") for size in ("0", "0x1000001")},
    **{f"hyp map {va} {pa} 0x2 r": ("size 0x2", "0x1 to 0x1")
       for va, pa in (("0xffffffffefff", "0"), ("0", "0xffffffffefff"))},
    "hyp map 0xfffffffff000 0 0x1 r": ("size 0x1", "no value"),
    "hyp map 0 0xffffffffffff 0x1 r": ("size 0x1", "no value"),
    **{f"hyp map 0 0 4K r fail={n}": (f"fail={n}", "1 to 99") for n in (0, 100)},
}  # fmt: skip
STATEMENT_ERRORS = {
    **{head: (f"second {head}", "exactly one") for head in ("vm", "s2fuzz")},
    "reboot": ("unknown statement 'reboot'", STATEMENTS),
    **SLOT_ERRORS, **GUEST_ERRORS, **HOST_ERRORS, **LOG_ERRORS, **LIFE_ERRORS, **DIRECT_ERRORS,
}  # fmt: skip
ERRORS = {
    **TEXT_ERRORS,
    **{f"vm {text}": (f"s2fuzz 1\nvm {text}\n", 2, *rest) for text, rest in VM_ERRORS.items()},
    **{text: (f"{SLOTS}{text}\n", SLOTS.count("\n") + 1 + text.count("\n"), *rest)
       for text, rest in STATEMENT_ERRORS.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_error(name: str) -> None:
    text, line, wrong, allowed = ERRORS[name]
    with pytest.raises(ProgramError) as caught:
        parse(text, "x.s2")
    assert str(caught.value) == f"x.s2:{line}: {wrong}; allowed: {allowed}"
    assert (caught.value.file, caught.value.line) == ("x.s2", line)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_operation_is_allowed_on_all_devices_or_on_none() -> None:
    for operation, granule in product(ops.OPERATIONS, GRANULES):
        wanted = wanted_backings(operation, granule)
        assert {*DEVICES} <= {*wanted} or not {*DEVICES} & {*wanted}
    assert set(DEVICES) <= set(UNLOGGED)


ALLOWED = {
    "device": "host age d+0 4K\nhost testage d+0\ncpu0 fetch d+1\ncpu0 write d+1\ntable map d+0 1M rw\nslot d move 8G",
    "hugetlb": "host discard h+0 4K\nhost migrate h+4K 4K\nhost write h+0 4M\nlog h on\nlog h get\n"
               "log h clear 256K 3840K",
    "clear of the last pages": "log a clear 3840K 256K\nlog a clear 0 4M\nlog a clear 256K 256K",
    "memory of a deleted slot": "slot a delete\ncpu0 read a+0\nhost write a+0 4M\nhost collapse a+0\n"
                                "cpu1 speculate a+0\ncpu1 evict a+4K",
    "behind the end": "slot a move 1024G\nslot h move 1048575M\nslot h delete\nslot h create ipa=1024G\nslot h create",
    "log of device memory": "log d on\nlog d off",
    "another's place": "slot a delete\nslot d move 1G\nslot a create ipa=2G\nslot d delete\nslot a move 1G",
    "partly over itself": "slot a move 1026M\nslot a move 1026M\nslot a move 1023M",
    "as another VM": "slot a move 4G\nslot o move 1G\nslot o move 1023G",
    "logged when made": "slot a delete\nslot a create log=on\nlog a get\nlog a clear 0 4M",
    "log off twice": "log a off\nlog a off\nlog a on\nlog a on\nlog a get",
    "vCPUs of both VMs": "cpu3 move 1\ncpu2 move 0\ncpu3 write o+0x3ffffff\ncpu2 evict o+0\ncpu3 reset\ncpu2 cache off",
    "largest direct map": "table map o+0x800 16M rwx fail=99\ntable unmap o+0x3ffffff 1",
    "range that ends with a page": "table unmap a+0x1fff 0x3ff000\ntable flush a+0x3fffff 4K",
    "top of what hyp maps": "hyp map 0xffffffffefff 0 1 r\nhyp map 0 0xffffffffe000 4K device",
    "most that hyp maps": "hyp map 1 3 16M rx fail=99",
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name: str) -> None:
    program = parse(SLOTS + ALLOWED[name])
    assert len(program.operations) == ALLOWED[name].count("\n") + 1
    assert parse(print_program(program)) == program


def test_slots_that_are_allowed() -> None:
    parse(HEAD + "slot r size=4K backing=anon log=on ro=on\ncpu0 write r+0\nhost write r+0 4K\n")
    parse(HEAD + "slot h ipa=4K size=8K backing=hugetlb1g offset=8K\nhost discard h+0 4K\n")
    parse(HEAD + "slot delete size=4K backing=thp\nslot on size=4K backing=thp\nslot get size=4K backing=thp log=on\n"
          "slot delete delete\nlog on on\nlog get get\n")  # fmt: skip
    same = "ipa=1G size=4M backing=thp"
    vms = parse(f"s2fuzz 1\nvm vms=4\nslot a {same}\nslot b {same} vm=3 alias=a\nslot c {same} vm=1\n").slots
    assert [(slot.vm, slot.alias) for slot in vms] == [(0, ""), (3, "a"), (1, "")]
    # An alias may begin anywhere if there is room for it.
    parse(f"{HEAD}slot a {same}\nslot b size=4K backing=thp offset=4092K alias=a\nslot c size=4M backing=thp alias=a\n")


def test_errors_in_programs_from_code_have_the_line_of_the_printed_text() -> None:
    vm, slot, access = Vm(), Slot("a", GIB, 4096, "anon"), ops.GuestAccess(0, "read", "a", 4096)
    bad = replace(access, offset=0, kind=cast("ops.AccessKind", "x"))
    nowhere = "no such place in slot a"
    table = ops.TableMap("a", 0, 4096, cast("ops.Prot", "w"))
    hyp = ops.HypMap(-1, 0, 4096, "r")
    for program, line, message in [
        (Program(vm, ()), 2, "no slot; allowed: 1 to 8, right after vm"),
        (Program(replace(vm, granule=0), (slot,)), 2, "granule=0; allowed: 4K, 16K, 64K"),
        (Program(replace(vm, manual=cast("model.ManualLog", "no")), (slot,)), 2, "manual='no'; allowed: off, on, set"),
        (Program(vm, (replace(slot, backing=cast("model.Backing", "x")),)), 3,
         f"backing='x'; allowed: {RAM}, {NO_RAM}"),
        (Program(vm, (slot,), (ops.GuestSetWay(1), access)), 5, f"{nowhere}: a+4K; allowed: 0 to 0xfff"),
        (Program(vm, (slot,), (replace(access, offset=-1),)), 4, f"{nowhere}: a+-0x1; allowed: 0 to 0xfff"),
        (Program(vm, (slot,), (bad,)), 4, "'x'; allowed: read, write, fetch, walk, clean"),
        (Program(vm, (slot,), (ops.GuestReset(-1),)), 4, "cpu-1; allowed: cpu0 to cpu1"),
        (Program(vm, (slot,), (table,)), 4, "'w'; allowed: r, rw, rx, rwx"),
        (Program(vm, (slot,), (hyp,)), 4, f"va -0x1; allowed: {HYP_PLACES}"),
        (Program(vm, (slot,), (replace(hyp, va=0, prot=cast("ops.HypProt", "x")),)), 4,
         "'x'; allowed: r, rw, rx, device, w, rwx, xdevice"),
        (Program(vm, (slot,), (ops.SlotMove("a", -4096),)), 4, "move -4K; allowed: 0 to 1024G in steps of 4K"),
    ]:  # fmt: skip
        with pytest.raises(ProgramError) as caught:
            validate(program)
        assert str(caught.value) == f"<program>:{line}: {message}"
