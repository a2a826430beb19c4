# SPDX-License-Identifier: GPL-2.0-only
"""Every part that must know each setting of the machine does so: binary form, generator, minimiser, real kernels."""

from dataclasses import fields
from typing import Any, Final

import pytest

from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.finding import Finding
from fuzz.language.binary import decode, encode
from fuzz.language.program import Program, Vm
from fuzz.language.text import parse
from fuzz.minimizing.minimize import minimized
from fuzz.real.errors import UnplayableError
from fuzz.real.left_out import CPU, emulated

# Each setting with a value that is not its default, and what that value requires.
EXAMPLES: Final = {
    "granule": "granule=64K",
    "ipa": "ipa=36",
    "cpus": "cpus=3",
    "vms": "vms=3",
    "fwb": "fwb=on",
    "dic": "dic=on",
    "ttl": "ttl=on",
    "range": "range=on",
    "haf": "haf=on",
    "manual": "manual=set",
    "fail": "fail=2",
    "resched": "resched=3",
    "contended": "contended=4",
    "split": "split=2M",
    "ring": "ring=64K",
    "bitmap": "ring=64K bitmap=off",
    "grace": "grace=2",
    "pa": "pa=52",
    "mte": "mte=on",
    "bbm": "bbm=on",
    "nested": "nested=on",
    "stage2": "nested=on stage2=on",
}
NAMES: Final = tuple(field.name for field in fields(Vm))
# Settings that the lines for /init contain (`fuzz.real.lines.machine_lines`), and the page size, which the kernel has.
PLAYED: Final = ("granule", "ipa", "cpus", "vms", "manual", "split", "mte")
# The setting that only mutations and people change: rings without bitmaps lose pages in all kernels that have them.
UNDRAWN: Final = ("bitmap",)
KEY: Final = ("regression", "x: f: a")


def example(name: str, more: str = "") -> Program:
    """Return a program with another value of a setting; *more*: further settings."""
    return parse(f"s2fuzz 1\nvm {EXAMPLES[name]}{more}\nslot a size=4M backing=anon\ncpu0 read a+0\n")


def test_each_setting_has_an_example() -> None:
    assert tuple(EXAMPLES) == NAMES
    for name in NAMES:
        assert getattr(example(name).vm, name) != getattr(Vm(), name)


@pytest.mark.parametrize("name", NAMES)
def test_binary_records_keep_it(name: str) -> None:
    assert decode(encode(example(name))).vm == example(name).vm, f"{name}: fuzz/language/binary.py, repair.py"


def test_the_generator_draws_it() -> None:
    flags: dict[str, Any] = {name: True for name, value in Offers()._asdict().items() if value is False}
    generator = Generator(1, offers=Offers()._replace(**flags))
    drawn = [generator.next().vm for _ in range(400)]
    constant = tuple(name for name in NAMES if len({getattr(vm, name) for vm in drawn}) == 1)
    assert constant == UNDRAWN, "fuzz/generation/builder.py or capabilities.py"


@pytest.mark.parametrize("name", NAMES)
def test_the_minimiser_takes_it_back(name: str) -> None:
    """Check also that it need not take back all settings at once: the finding needs one of them."""
    needed = "dic" if name == "haf" else "haf"

    def judge(program: Program) -> list[Finding]:
        return [Finding(*KEY, "")] if getattr(program.vm, needed) else []

    smallest = minimized(example(name, f" {needed}=on"), KEY, judge).program.vm
    plain = Vm(cpus=1, dic=needed == "dic", haf=needed == "haf")
    assert smallest == plain, f"{name}: fuzz/minimizing/settings.py, measure.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_real_kernel_plays_it_or_a_remark_names_it(name: str) -> None:
    refusal = ""
    try:
        vm, remarks = emulated(example(name).vm, CPU)
    except UnplayableError as error:
        vm, remarks, refusal = Vm(), [], str(error)
    # A bitmap can be missing only beside rings.
    refused = f"{'ring' if name == 'bitmap' else name}=" in refusal
    of_cpu = not refusal and getattr(CPU, name, None) == getattr(vm, name)
    told = any(remark.startswith(f"vm {name}=:") for remark in remarks) and getattr(vm, name) == getattr(Vm(), name)
    assert refused or name in PLAYED or of_cpu or told, f"{name}: fuzz/real/lines.py or left_out.py"
