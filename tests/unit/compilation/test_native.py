# SPDX-License-Identifier: GPL-2.0-only
"""The compiled form: it does exactly the same as plain Python."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import candidate
from candidate.bugs import BUGS
from fuzz.distribution import form
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from reference.compiled import choice as native
from reference.kernel import Kernel
from reference.machine.arena import POISON, wrap
from reference.machine.granule import Granule
from reference.machine.hardware import Hardware

from ..console import ROOT

needs_build = pytest.mark.skipif(not native.choose().mypyc, reason="no compiled build: run `s2fuzz build`")


@pytest.mark.parametrize("value", [(1 << 63) - 1, -(1 << 63), POISON, 0, -1, 1 << 62, -(1 << 62) - 1])
def test_words_hold_64_bits(value: int) -> None:
    kernel = Kernel(Granule(12), Hardware(Granule(12)))
    kernel.arena.grow(1)
    kernel.WRITE_ONCE(5, value)
    assert kernel.words[5] == value
    kernel.smp_store_release(6, wrap(value & (1 << 64) - 1))
    assert kernel.words[6] == value


@pytest.mark.parametrize("name", candidate.names())
def test_a_run_leaves_no_objects(name: str) -> None:
    """Check both forms: a hidden reference easily keeps compiled objects alive."""

    def kernels() -> int:
        gc.collect()
        return sum(isinstance(each, Kernel) for each in gc.get_objects())

    before = kernels()
    differential = Differential(candidate.get("original"), candidate.get(name))
    generator = Generator(5)
    for _ in range(5):
        differential.run(generator.next())
    assert kernels() == before


DIGESTS = """
from fuzz.distribution import form
from tests.unit.judging.event_digests import digests
print(form().split(",")[0].split()[0], digests(25))
"""


def in_form(pure: str) -> list[str]:
    """Return the name of the form, and a hash over all events of 25 programs on every candidate."""
    environment = {**os.environ, "S2FUZZ_PURE": pure, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DIGESTS]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


@needs_build
def test_both_forms_do_the_same() -> None:
    compiled, plain = in_form("0"), in_form("1")
    assert (compiled[0], plain[0]) == ("compiled", "interpreted")
    assert compiled[1] == plain[1]


ON_TOP = """\
from candidate import Candidate
from {pgtable.__module__} import {pgtable.__name__}
from {mmu.__module__} import {mmu.__name__}
from {tlb.__module__} import {tlb.__name__}


class PgtableOnTop({pgtable.__name__}):
    def kvm_pgtable_stage2_map(self, *arguments):
        return super().kvm_pgtable_stage2_map(*arguments)

    def kvm_pgtable_stage2_unmap(self, *arguments):
        return super().kvm_pgtable_stage2_unmap(*arguments)


class MmuOnTop({mmu.__name__}):
    def user_mem_abort(self, *arguments):
        return super().user_mem_abort(*arguments)


class TlbOnTop({tlb.__name__}):
    def __kvm_tlb_flush_vmid_ipa__(self, *arguments):
        super().__kvm_tlb_flush_vmid_ipa__(*arguments)


CANDIDATE = Candidate("on-top", PgtableOnTop, MmuOnTop, "a test", tlb=TlbOnTop)
"""
JUDGE = """
import json, sys
import candidate
from fuzz.distribution import form
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from reference.compiled.choice import CHOICE
names = json.loads(sys.argv[1])
judged = {}
for name in names:
    version = candidate.get(name)
    plain = candidate.is_file(name) or name.startswith("bug-")
    assert (version.pgtable.__module__ in CHOICE.files) != plain, version.pgtable.__module__
    generator = Generator(3)
    differential = Differential(candidate.get("original"), version)
    judged[name] = [sorted(differential.run(generator.next()).titles()) for _ in range(25)]
print(json.dumps([form(), judged]))
"""
INTERRUPTED = """
import signal

signal.signal(signal.SIGALRM, signal.default_int_handler)
from fuzz.language import program

assert program.__file__.endswith(".so")
# In the middle of whatever runs, each time at another place.
interrupts = 0
for shot in range(1000):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-4 + shot * 1e-7)
        while True:
            # Multiplies by 2 ** 30, which has two digits.
            assert program.next_ipa([]) == 1 << 30
    except KeyboardInterrupt:
        interrupts += 1
print(interrupts)
"""


@needs_build
def test_a_file_derives_from_every_registered_class(tmp_path: Path) -> None:
    """Derive interpreted classes from compiled ones: they are judged like the version itself."""
    files = {}
    for name in [*candidate.names(), *(bug.name for bug in BUGS)]:
        version = candidate.get(name)
        files[name] = tmp_path / f"on_{name.replace('-', '_').replace('.', '_')}.py"
        files[name].write_text(ON_TOP.format(pgtable=version.pgtable, mmu=version.mmu, tlb=version.tlb))
    if native.choose().remark:
        pytest.skip(native.choose().remark)
    names = [*files, *map(str, files.values())]
    command = [sys.executable, "-c", JUDGE, json.dumps([name for name in names if name != "original"])]
    environment = {**os.environ, "S2FUZZ_PURE": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    form_of_process, judged = json.loads(done.stdout)
    assert form_of_process.startswith("compiled")
    assert any(judged["rfc-v1"])
    for name, file in files.items():
        if name != "original":
            assert judged[str(file)] == judged[name], name


@needs_build
def test_a_signal_aborts_no_multiplication() -> None:
    """Check that a signal handler that runs during a multiplication raises its exception afterwards."""
    environment = {**os.environ, "S2FUZZ_PURE": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1000\n", "")


@needs_build
def test_golden_streams_in_the_other_form() -> None:
    pure = "1" if form().startswith("compiled") else "0"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/golden"]
    done = subprocess.run(command, env={**os.environ, "S2FUZZ_PURE": pure}, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
