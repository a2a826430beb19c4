# SPDX-License-Identifier: GPL-2.0-only
"""A tree built with sanitizers: it has the same events, and memory errors are findings that name their place."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree import PREFIX, SANITIZE
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.command_line import cli
from fuzz.generation.generator import Generator
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import load, parse

from ..corpus.files import REGRESSIONS, SEEDS
from .fidelity import Stream, difference
from .trees import around, changed, real_tree, version

PROGRAM: Final = "s2fuzz 1\nvm cpus=1\nslot a size=4M backing=thp log=on\ncpu0 read a+0\nslot a delete\n"
INIT: Final = "\tmmu->pgt = pgt;\n\tmmu->pgd_phys = __pa(pgt->pgd);\n"
FAULT: Final = "\tvma_pagesize = 1UL << vma_shift;\n"


class Planted(NamedTuple):
    """A mistake: file, text after whose last occurrence it is inserted, its code, words of the finding, C function."""

    file: str
    text: str
    mistake: str
    what: str
    function: str


PLANTED: Final = {
    "a table page after its put": Planted(
        PGTABLE,
        "\tif (childp)\n\t\tmm_ops->put_page(childp);\n",
        "\tif (childp && childp[1])\n\t\treturn -EINVAL;\n",
        "use after free of a table page, read of 8 bytes,",
        "stage2_unmap_walker",
    ),
    "READ_ONCE() of a table page after its put": Planted(
        PGTABLE,
        "\tif (childp)\n\t\tmm_ops->put_page(childp);\n",
        "\tif (childp && READ_ONCE(childp[1]))\n\t\treturn -EINVAL;\n",
        "use after free of a table page, read of 8 bytes,",
        "stage2_unmap_walker",
    ),
    "a table page cleared after its put": Planted(
        PGTABLE,
        "\tif (childp)\n\t\tmm_ops->put_page(childp);\n",
        "\tif (childp)\n\t\tmemset(childp, 0, PAGE_SIZE);\n",
        "use after free of a table page, write of many bytes,",
        "stage2_unmap_walker",
    ),
    "past an object": Planted(
        MMU,
        INIT,
        "\t((volatile char *)pgt)[sizeof(*pgt)] = 1;\n",
        "out of bounds of an object, write of 1 byte,",
        "kvm_init_stage2_mmu",
    ),
    "an object after its free": Planted(
        MMU,
        INIT,
        "\t{ volatile int *p = kzalloc(8, GFP_KERNEL); kfree((void *)p); p[1]++; }\n",
        "use after free of an object, read of 4 bytes,",
        "kvm_init_stage2_mmu",
    ),
    "an object freed twice": Planted(
        MMU,
        INIT,
        "\t{ void *p = kzalloc(8, GFP_KERNEL); kfree(p); barrier(); kfree(p); }\n",
        "double free of an object",
        "kvm_init_stage2_mmu",
    ),
    "a shift": Planted(
        MMU,
        FAULT,
        "\tvma_pagesize |= 1UL << (vma_shift + 100) & 0;\n",
        "undefined behaviour, shift out of bounds,",
        "user_mem_abort",
    ),
    "an index": Planted(
        MMU,
        FAULT,
        "\t{ volatile long few[4] = { 0 }; vma_pagesize += few[vma_shift]; }\n",
        "undefined behaviour, index out of bounds,",
        "user_mem_abort",
    ),
    "a division": Planted(
        MMU,
        FAULT,
        "\t{ volatile int zero = 0; vma_pagesize += 0 & (1 / zero); }\n",
        "undefined behaviour, division by zero or overflow,",
        "user_mem_abort",
    ),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_is_named(mistake: str, tmp_path: Path) -> None:
    original = real_tree("6.12")
    planted = PLANTED[mistake]
    before, text, after = around(original / planted.file, planted.text, last=True)
    text += planted.mistake
    copy = f"{PREFIX}{changed(original, tmp_path / 'tree', {planted.file: before + text + after})}{SANITIZE}"
    differential = Differential(candidate.get(f"{PREFIX}{original}{SANITIZE}"), candidate.get(copy))
    found = differential.run(parse(PROGRAM)).findings
    assert [each.kind for each in found if "oops" in each.signature] == [REGRESSION], found
    finding = next(each for each in found if "oops" in each.signature)
    assert finding.signature.endswith(f"oops {planted.what} in {planted.function}")
    assert f"{planted.function} ({Path(planted.file).name}:" in finding.reason
    assert finding.reason.endswith(planted.function)
    # s2fuzz continues and judges the next program.
    assert finding.signature in [each.signature for each in differential.run(parse(PROGRAM)).findings]


def has_later_memory(text: str) -> bool:
    """Return whether a program has memory that 6.12 does not support: a guest_memfd, or hugetlb with tags."""
    return "backing=memfd" in text or ("mte=on" in text and "backing=hugetlb" in text)


@pytest.mark.parametrize("name", ["5.12.9", "6.1", "6.12", "7.3"])
def test_events_are_the_same_and_upstream_trees_are_clean(name: str) -> None:
    plain = version(name)
    # Each tree runs random programs; one also runs the corpus.
    corpus = [load(path) for path in (*SEEDS, *REGRESSIONS) if not has_later_memory(path.read_text())]
    programs = corpus if name == "6.12" else []
    generator = Generator(5)
    programs += [generator.next() for _ in range(25)]
    for program in programs:
        one, other = Stream(plain, program), Stream(f"{plain}{SANITIZE}", program)
        assert difference(one, other) == ""
        assert (one.refused, other.refused) == ("", "")


def test_the_option_applies_to_trees(capsys: pytest.CaptureFixture[str]) -> None:
    tree, seed = version("6.12"), str(SEEDS[0])
    assert cli.main(["run", seed, "--reference", tree, "--candidate", tree, "--sanitize"]) == 0
    assert f"{tree}{SANITIZE} against {tree}{SANITIZE}: " in capsys.readouterr().out
    assert cli.main(["run", seed, "--candidate", "v5.14", "--sanitize"]) == 2
    assert "--sanitize: neither version is a kernel tree; allowed: with tree:PATH" in capsys.readouterr().err
