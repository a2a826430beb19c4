# SPDX-License-Identifier: GPL-2.0-only
"""docs/programs.md explains the whole language, and nothing else."""

import re
from dataclasses import MISSING, fields
from typing import Final, get_args

import pytest

from fuzz.language.forms import FORMS
from fuzz.language.program import Backing, Vm, show_bytes

from .console import ROOT
from .pages import blocks, prose

PAGE: Final = ROOT / "docs" / "programs.md"
EXPLANATIONS: Final = "".join(block.text for block in blocks(PAGE) if block.language == "text")


@pytest.mark.parametrize("usage", [usage for _, usage in FORMS[2:]])
def test_every_operation_is_explained(usage: str) -> None:
    assert re.search(rf"^{re.escape(usage)}\n    \S", EXPLANATIONS, re.MULTILINE), (
        f"docs/programs.md: no line {usage!r} with its explanation below"
    )


def test_no_other_operation_is_explained() -> None:
    explained = re.findall(r"^(\S.*)$", EXPLANATIONS, re.MULTILINE)
    assert len(explained) == len(set(explained))
    unknown = set(explained) - {usage for _, usage in FORMS[2:]}
    assert not unknown, f"docs/programs.md explains {sorted(unknown)}, which no operation declares as its form"


def test_every_backing_is_named() -> None:
    row = re.search(r"^\| `backing=` \|(.*)$", prose(PAGE), re.MULTILINE)
    assert row is not None
    assert set(get_args(Backing)) <= set(re.findall(r"`(\w+)`", row[1]))


@pytest.mark.parametrize(("make", "usage"), FORMS[:2], ids=["vm", "slot"])
def test_every_setting_is_explained_with_its_default(make: type, usage: str) -> None:
    defaults = {field.name: field.default for field in fields(make)}
    table = prose(PAGE).split("| setting |")[1 if make is Vm else 2]
    rows = dict(re.findall(r"^\| `([a-z]+)=(\w*)` \|", table, re.MULTILINE))
    assert list(rows) == re.findall(r"([a-z]+)=", usage)
    for key, shown in rows.items():
        default = defaults[key]
        if isinstance(default, bool):
            assert shown == ("on" if default else "off")
        elif key == "granule" and isinstance(default, int):
            assert shown == show_bytes(default)
        elif default not in (MISSING, None, ""):
            assert shown == str(default)
