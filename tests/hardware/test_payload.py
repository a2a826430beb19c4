# SPDX-License-Identifier: GPL-2.0-only
"""The stored machine code matches its source."""

import pytest

from fuzz.hardware import assemble, layout


def test_stored_as_it_would_be_written() -> None:
    assert assemble.as_text(assemble.stored()) == assemble.STORED.read_text()


def test_fits_below_the_mailbox() -> None:
    assert 0 < len(assemble.stored()) <= layout.MAILBOX - layout.CODE


def test_made_from_its_source() -> None:
    if not assemble.can_assemble():
        pytest.skip(f"no {assemble.ASSEMBLER} on PATH (Debian: apt-get install binutils-aarch64-linux-gnu)")
    assert assemble.stored() == assemble.assembled(), "run: python -m fuzz.hardware.assemble"
