# SPDX-License-Identifier: GPL-2.0-only
"""Files of tables: written files are read back, and wrong files are refused in one line."""

import pytest

from fuzz.hardware import layout
from fuzz.hardware.setting import Setting
from fuzz.hardware.tables import Tables, question, word_index
from fuzz.hardware.text import TablesError, parse, print_tables

PLACE = f"{layout.TABLES:#x}"
GOOD = f"""\
s2fuzz tables 1
tables granule=4K ia=40 start=1 pa=48 fwb=off stage1=wb root={PLACE}
{PLACE} 0x80000000000004fd
ask fetch-el0 0x123450
"""


def test_printed_and_parsed() -> None:
    setting = Setting(16, 42, 2, 52, True, False)
    root = word_index(layout.TABLES + (1 << 20))
    questions = [question(ask, ask << 20) for ask in range(4)]
    tables = Tables(setting, root, setting.vtcr() ^ 1 << 12, {root + 3: -1, root + 5: 1 << 40}, questions)
    text = print_tables(tables, questions, ["found here", "and there"])
    assert "# found here\n# and there\n" in text
    assert parse(text, "x") == tables


def test_a_vtcr_of_the_setting_is_not_written() -> None:
    tables = parse(GOOD, "x")
    assert tables.vtcr == tables.setting.vtcr()
    assert print_tables(tables, tables.questions, []) == GOOD


@pytest.mark.parametrize(
    ("old", "new", "line", "wrong", "allowed"),
    [
        ("s2fuzz tables 1", "s2fuzz 1", 1, "'s2fuzz 1'", "'s2fuzz tables 1' as the first line"),
        ("tables granule", "table granule", 2, "'table granule=4K", "tables granule=... ia=..."),
        (" fwb=off", "", 2, "'tables granule=4K", "fwb=..."),
        ("fwb=off", "fwb=off fwb=on", 2, "'tables granule=4K", "fwb=..."),
        ("fwb=off", "fwb=maybe", 2, "fwb='maybe'", "off, on"),
        ("granule=4K", "granule=8K", 2, "granule='8K'", "4K, 16K, 64K"),
        ("ia=40", "ia=4O", 2, "ia='4O'", "a whole number"),
        ("ia=40", "ia=30", 2, "ia=30", "31 to 43, with start=1"),
        ("ia=40", "ia=44", 2, "ia=44", "31 to 43, with start=1"),
        ("start=1", "start=3", 2, "start=3", "0, 1, 2"),
        ("pa=48", "pa=50", 2, "pa=50", "40, 42, 44, 48, 52"),
        ("pa=48", "pa=36", 2, "pa=36", "40, 42, 44, 48"),
        (f"root={PLACE}", "root=0x40000000", 2, "root 0x40000000", f"multiples of 0x2000 from {PLACE}"),
        (f"root={PLACE}", f"root={layout.TABLES + 0x1000:#x}", 2, "root", "multiples of 0x2000"),
        (f"{PLACE} 0x8", f"{layout.TABLES + 4:#x} 0x8", 3, "address", "multiples of 0x8 from"),
        (f"{PLACE} 0x8", "0x40000000 0x8", 3, "address 0x40000000", f"from {PLACE}"),
        ("0x80000000000004fd", "0x180000000000004fd", 3, "word", "up to 16 hexadecimal digits"),
        ("0x80000000000004fd", "", 3, f"'{PLACE}'", "ADDRESS WORD, or ask read|write|fetch|fetch-el0 ADDRESS"),
        ("fetch-el0", "execute", 4, "'ask execute 0x123450'", "ask read|write|fetch|fetch-el0 ADDRESS"),
        ("0x123450", "0x123452", 4, "address 0x123452", "a multiple of 4 to fetch from"),
        ("0x123450", "0x8000000000000", 4, "address 0x8000000000000", "below 2^51"),
    ],
)
def test_refused(old: str, new: str, line: int, wrong: str, allowed: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(TablesError) as refusal:
        parse(GOOD.replace(old, new), "x.tables")
    message = str(refusal.value)
    assert message.startswith(f"x.tables:{line}: {wrong}")
    assert allowed in message.partition("; allowed: ")[2]


@pytest.mark.parametrize(
    ("lines", "allowed"), [(0, "'s2fuzz tables 1'"), (1, "a line 'tables ...'"), (3, "a line 'ask ...'")]
)
def test_ends_early(lines: int, allowed: str) -> None:
    with pytest.raises(TablesError, match="x: the file ends early; allowed: ") as refusal:
        parse("".join(GOOD.splitlines(keepends=True)[:lines]), "x")
    assert allowed in str(refusal.value)
