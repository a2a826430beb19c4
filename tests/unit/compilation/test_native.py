# SPDX-License-Identifier: GPL-2.0-only
"""The compiled form: chosen by the sources alone, and the same to the last bit."""

import gc
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from argparse import Namespace
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import candidate
from candidate.bugs import BUGS
from fuzz.command_line.messages import say_form
from fuzz.compilation import build, outside
from fuzz.compilation.group import PLAIN, sources
from fuzz.distribution import form
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from reference.compiled import choice as native
from reference.kernel import Kernel
from reference.machine.arena import POISON, wrap
from reference.machine.granule import Granule
from reference.machine.hardware import Hardware

ROOT = Path(__file__).parents[3]
SUFFIX = EXTENSION_SUFFIXES[0]
# One of each kind: what everything needs, what a checker needs, a candidate, none of them.
KERNEL, CHECKER, CANDIDATE = "reference/kernel.py", "fuzz/checkers/tlb.py", "candidate/rfc_v1.py"

needs_build = pytest.mark.skipif(not native.choose().mypyc, reason="no compiled build: run `s2fuzz build`")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources with a build in which nothing is real but the names."""
    for package in ("reference", "candidate", "fuzz"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "build" / "native"
    monkeypatch.setattr(native, "HOME", tmp_path)
    monkeypatch.setattr(native, "FOLDER", folder)
    monkeypatch.setattr(native, "MANIFEST", folder / "manifest.json")
    monkeypatch.delenv("S2FUZZ_PURE", raising=False)
    for source in sources():
        shared = folder / "group-0" / source.replace(".py", SUFFIX)
        shared.parent.mkdir(parents=True, exist_ok=True)
        shared.touch()
    (folder / "group-0" / f"{native.LIBRARY}{SUFFIX}").touch()
    manifest = {
        "format": native.FORMAT,
        "suffix": SUFFIX,
        "mypyc": "0",
        "folder": "group-0",
        "sources": build.digests(sources()),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_all_of_an_unchanged_checkout(checkout: Path) -> None:
    choice = native.choose()
    assert (choice.mypyc, choice.remark) == ("0", "")
    assert set(choice.files) == {native.module_of(source) for source in sources()} | {native.LIBRARY}


@pytest.mark.parametrize("source", [KERNEL, CHECKER])
@pytest.mark.parametrize("gone", [False, True])
def test_a_change_below_candidates_makes_all_plain(checkout: Path, source: str, gone: bool) -> None:
    if gone:
        (checkout / source).unlink()
    else:
        with open(checkout / source, "a") as file:
            file.write("\n")
    choice = native.choose()
    assert (choice.mypyc, choice.files, choice.remark) == ("", {}, native.OUT_OF_DATE)


@pytest.mark.parametrize("change", ["new", "changed", "gone"])
def test_a_change_in_candidates_makes_them_plain(checkout: Path, change: str) -> None:
    path = checkout / ("candidate/my_patch.py" if change == "new" else CANDIDATE)
    if change == "gone":
        path.unlink()
    else:
        with open(path, "a") as file:
            file.write("\n")
    choice = native.choose()
    assert choice.mypyc == "0"
    assert "candidate/ has changed" in choice.remark
    assert set(choice.files) == {
        native.module_of(source) for source in sources() if not source.startswith("candidate/")
    } | {native.LIBRARY}


def test_what_was_never_compiled_changes_nothing(checkout: Path) -> None:
    for source in (*PLAIN, "candidate/__init__.py", "fuzz/command_line/cli.py", "reference/new.py"):
        with open(checkout / source, "a") as file:
            file.write("\n")
    assert native.choose().remark == ""


@pytest.mark.parametrize("value", ["1", "yes"])
def test_plain_python_on_request(checkout: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("S2FUZZ_PURE", value)
    assert native.choose() == native.Choice()


@pytest.mark.parametrize("value", ["", "0"])
def test_no_request(checkout: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("S2FUZZ_PURE", value)
    assert native.choose().mypyc == "0"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 99}', "\x00"])
def test_a_broken_manifest(checkout: Path, text: str) -> None:
    native.MANIFEST.write_text(text)
    assert native.choose() == native.Choice(remark=native.OUT_OF_DATE)


def test_another_python(checkout: Path) -> None:
    native.MANIFEST.write_text(native.MANIFEST.read_text().replace(SUFFIX, ".other.so"))
    assert native.choose() == native.Choice(remark=native.OUT_OF_DATE)


def test_no_build(checkout: Path) -> None:
    native.MANIFEST.unlink()
    assert native.choose() == native.Choice()


def test_a_lost_module(checkout: Path) -> None:
    next((native.FOLDER / "group-0" / "fuzz" / "execution").glob("executor*")).unlink()
    assert native.choose() == native.Choice(remark=native.OUT_OF_DATE)


def test_a_library_that_does_not_load(checkout: Path) -> None:
    sys.modules.pop(native.LIBRARY, None)
    finders = sys.meta_path[:]
    assert native.activate() == native.Choice(remark=native.OUT_OF_DATE)
    assert sys.meta_path == finders


def test_the_group_holds_what_is_hot() -> None:
    group = set(sources())
    assert {"reference/pgtable.py", "reference/mmu.py", "reference/kernel.py", "fuzz/execution/executor.py"} <= group
    assert {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "fuzz" / "checkers").glob("[a-z]*.py")
    } <= group | PLAIN
    assert native.candidate_sources() <= group
    assert not group & {*PLAIN, "fuzz/command_line/cli.py", "fuzz/engines/session.py", "candidate/__init__.py"}


@pytest.mark.parametrize(
    ("lacks", "said"), [("mypyc", "no mypyc"), ("compiler", "no C compiler"), ("headers", "no Python headers")]
)
def test_why_it_cannot_be_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacks: str, said: str) -> None:
    monkeypatch.setattr(build, "find_spec", lambda name: None if name == lacks else object())
    monkeypatch.setattr(shutil, "which", lambda name: None if lacks == "compiler" else "/bin/cc")
    include = tmp_path / "include"
    include.mkdir()
    if lacks != "headers":
        (include / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(include))
    with pytest.raises(build.BuildError) as error:
        build.build()
    assert said in str(error.value)
    assert "plain Python" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def building(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which the compiler only seems to run."""

    def compiler(folder: Path, files: list[str], home: Path) -> None:
        (folder / "out").mkdir()
        (folder / "out" / "made").write_text(" ".join(files))

    monkeypatch.setattr(build, "obstacle", lambda: "")
    monkeypatch.setattr(build, "run_compiler", compiler)
    for name in ("LOCK", "LOG", "CACHE"):
        monkeypatch.setattr(build, name, native.FOLDER / name.lower())
    return checkout


FILE = """\
from candidate import Candidate
from candidate.rfc_v2 import MmuRfcV2, PgtableRfcV2

from .helper import LIMIT


class PgtableMine(PgtableRfcV2):
    def stage2_flush_dcache(self, addr: int, size: int) -> None:
        super().stage2_flush_dcache(addr, size)


CANDIDATE = Candidate("mine", PgtableMine, MmuRfcV2, "a test")
"""


@pytest.fixture
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A candidate from a file, which imports the one beside it."""
    folder = tmp_path_factory.mktemp("mine").resolve()
    (folder / "helper.py").write_text("LIMIT = 1\n")
    path = folder / "mine.py"
    path.write_text(FILE)
    return path


def compiled_with(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> native.Choice:
    """Return the choice of a process that runs these files."""
    monkeypatch.setenv(native.ASKED, os.pathsep.join(map(str, files)))
    return native.choose()


@pytest.fixture
def building_with(building: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """As `building`; what the compiler was given, all of which stands below the copy of the sources."""
    given: list[list[str]] = []

    def compiler(folder: Path, files: list[str], home: Path) -> None:
        given.append(files)
        for source in [*files, f"{native.LIBRARY}.py"]:
            assert source.startswith(native.LIBRARY) or (home / source).is_file()
            made = folder / "out" / source.replace(".py", SUFFIX)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.touch()

    monkeypatch.setattr(outside, "run_compiler", compiler)
    return given


def test_a_file_joins_the_group(building_with: list[list[str]], mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.module_of_file(mine) not in compiled_with([mine], monkeypatch).files
    assert "mine.py among them" in outside.build_with(str(mine))
    (given,) = building_with
    inside = [f"{native.module_of_file(path).replace('.', '/')}.py" for path in (mine.with_name("helper.py"), mine)]
    assert sorted(given) == sorted([*sources(), *inside])
    choice = compiled_with([mine], monkeypatch)
    assert (choice.mypyc != "", choice.remark) == (True, "")
    assert {native.module_of_file(mine), native.module_of(CANDIDATE), native.LIBRARY} <= choice.files.keys()
    assert Path(choice.files[native.module_of_file(mine)]).is_file()
    assert "up to date" in outside.build_with(str(mine))
    # Processes that run another file, or none, have nothing to do with it.
    assert native.module_of_file(mine) not in compiled_with([mine.with_name("other.py")], monkeypatch).files


@pytest.mark.parametrize("changed", ["mine.py", "helper.py", KERNEL])
def test_a_build_with_a_file_is_for_these_sources(
    building_with: list[list[str]], building: Path, mine: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.build_with(str(mine))
    path = building / KERNEL if changed == KERNEL else mine.with_name(changed)
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    assert native.module_of_file(mine) not in compiled_with([mine], monkeypatch).files
    path.write_bytes(before)
    assert native.module_of_file(mine) in compiled_with([mine], monkeypatch).files


def test_few_builds_with_files_are_kept(building_with: list[list[str]], mine: Path) -> None:
    for number in range(outside.KEPT + 2):
        mine.write_text(FILE + f"# {number}\n")
        outside.build_with(str(mine))
    assert len(building_with) == outside.KEPT + 2
    assert len(list(native.FOLDER.glob(f"{native.WITH}*"))) == outside.KEPT
    assert native.MANIFEST.is_file()


def test_a_file_with_a_plain_store_is_not_compiled(building_with: list[list[str]], mine: Path) -> None:
    mine.write_text(FILE.replace("super().stage2_flush_dcache(addr, size)", "self.mem[addr] = 0"))
    with pytest.raises(build.BuildError, match=r"mine\.py:9: it may store to a table without WRITE_ONCE"):
        outside.build_with(str(mine))
    assert building_with == []


def test_a_registered_version_is_compiled_as_ever(building: Path) -> None:
    assert outside.build_with("rfc-v2") == "the compiled build is up to date"


def test_an_installation_builds_into_the_cache_folder(tmp_path: Path) -> None:
    """Not into site-packages; by a digest of the sources, without candidate/."""
    home = tmp_path / "site-packages"
    for package in ("reference", "candidate", "fuzz"):
        shutil.copytree(ROOT / package, home / package, ignore=shutil.ignore_patterns("__pycache__"))
    asked = "from reference.compiled.choice import CHECKOUT, FOLDER; print(CHECKOUT, FOLDER)"
    environment = {**os.environ, "PYTHONPATH": str(home), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def folder() -> Path:
        command = [sys.executable, "-c", asked]
        said = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        checkout, _, name = said.strip().partition(" ")
        assert checkout == "False"
        return Path(name)

    first = folder()
    assert first.parent == tmp_path / "cache" / "s2fuzz"
    (home / "candidate" / "mine.py").touch()
    assert folder() == first
    (home / "reference" / "mine.py").touch()
    assert folder() != first


def folders() -> list[str]:
    return sorted(path.name for path in native.FOLDER.iterdir() if path.is_dir())


def test_nothing_is_built_twice(building: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.build() == "the compiled build is up to date"
    assert folders() == ["group-0"]
    assert capsys.readouterr().err == ""


def test_a_new_candidate_joins_the_group(building: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (building / "candidate" / "my_patch.py").touch()
    assert "compiled" in build.build()
    assert capsys.readouterr().err == ""
    manifest = json.loads(native.MANIFEST.read_text())
    assert "candidate/my_patch.py" in manifest["sources"]
    assert "candidate/my_patch.py" in (native.FOLDER / manifest["folder"] / "made").read_text()
    assert build.build() == "the compiled build is up to date"


PLAIN_CANDIDATE = """\
from reference.pgtable import Pgtable


class PgtableMine(Pgtable):
    def kvm_set_invalid_pte(self, ptep: int) -> None:
        self.mem[ptep] = 0
"""


def test_a_candidate_with_a_plain_store_stays_interpreted(building: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compiled, its store would go past the list that tells of it; so stays what is built on it, and nothing else."""
    (building / "candidate" / "mine.py").write_text(PLAIN_CANDIDATE)
    (building / "candidate" / "more.py").write_text("from .mine import PgtableMine\n")
    (building / "candidate" / "most.py").write_text("from candidate import more\n")
    assert "compiled" in build.build()
    said = capsys.readouterr().err
    assert "candidate/mine.py stays interpreted: line 6 may store to a table without WRITE_ONCE\n" in said
    assert "candidate/more.py stays interpreted: it imports candidate/mine.py\n" in said
    manifest = json.loads(native.MANIFEST.read_text())
    assert set(manifest["interpreted"]) == {f"candidate/{name}.py" for name in ("mine", "more", "most")}
    assert not manifest["sources"].keys() & manifest["interpreted"].keys()
    assert CANDIDATE in manifest["sources"]
    assert build.build() == "the compiled build is up to date"
    made = native.FOLDER / manifest["folder"]
    for source in [*manifest["sources"], f"{native.LIBRARY}.py"]:
        file = made / source.replace(".py", SUFFIX)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    choice = native.choose()
    assert (choice.mypyc != "", choice.remark) == (True, "")
    assert native.module_of(CANDIDATE) in choice.files
    assert "candidate.mine" not in choice.files
    (building / "candidate" / "mine.py").write_text(PLAIN_CANDIDATE + "\n")
    assert "candidate/ has changed" in native.choose().remark


def test_only_the_last_build_is_kept_beside_the_new_one(building: Path) -> None:
    made = []
    for _ in range(3):
        build.build(force=True)
        made.append(json.loads(native.MANIFEST.read_text())["folder"])
    assert folders() == sorted(made[1:])


@pytest.mark.parametrize("error", [KeyboardInterrupt, build.BuildError])
def test_a_build_that_does_not_end_leaves_nothing(
    building: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def stopped(folder: Path, files: list[str], home: Path) -> None:
        (folder / "half").touch()
        raise error

    monkeypatch.setattr(build, "run_compiler", stopped)
    with pytest.raises(error):
        build.build(force=True)
    assert folders() == ["group-0"]
    assert native.choose().mypyc == "0"


def test_a_source_that_changes_meanwhile(building: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(folder: Path, files: list[str], home: Path) -> None:
        (building / KERNEL).write_text("")

    monkeypatch.setattr(build, "run_compiler", change)
    with pytest.raises(build.BuildError, match="changed during the build"):
        build.build(force=True)


@pytest.mark.parametrize("command", ["run", "fuzz", "bench"])
def test_people_are_told_of_a_build_that_is_out_of_date(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(native, "CHOICE", native.Choice(remark=native.OUT_OF_DATE))
    say_form(Namespace(command=command, json=True))
    assert capsys.readouterr() == ("", f"s2fuzz: {native.OUT_OF_DATE}\n")


@pytest.mark.parametrize("value", [(1 << 63) - 1, -(1 << 63), POISON, 0, -1, 1 << 62, -(1 << 62) - 1])
def test_words_hold_64_bits(value: int) -> None:
    kernel = Kernel(Granule(12), Hardware(Granule(12)))
    kernel.arena.grow(1)
    kernel.WRITE_ONCE(5, value)
    assert kernel.words[5] == value
    kernel.smp_store_release(6, wrap(value & (1 << 64) - 1))
    assert kernel.words[6] == value


@pytest.mark.parametrize("name", candidate.names())
def test_nothing_of_a_run_is_left(name: str) -> None:
    """In both forms: compiled objects are easily kept alive by a reference that nobody sees."""

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
from tests.unit.judging.test_determinism import digests
print(form().split(",")[0].split()[0], digests(25))
"""


def in_form(pure: str) -> list[str]:
    """The first word of the form, and a hash over all events of 25 programs on every candidate."""
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


class PgtableOnTop({pgtable.__name__}):
    def kvm_pgtable_stage2_map(self, *arguments):
        return super().kvm_pgtable_stage2_map(*arguments)

    def kvm_pgtable_stage2_unmap(self, *arguments):
        return super().kvm_pgtable_stage2_unmap(*arguments)


class MmuOnTop({mmu.__name__}):
    def user_mem_abort(self, *arguments):
        return super().user_mem_abort(*arguments)


CANDIDATE = Candidate("on-top", PgtableOnTop, MmuOnTop, "a test")
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
    assert (version.pgtable.__module__ in CHOICE.files) != candidate.is_file(name), version.pgtable.__module__
    generator = Generator(3)
    differential = Differential(candidate.get("original"), version)
    judged[name] = [sorted(differential.run(generator.next()).kinds()) for _ in range(25)]
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
    """Interpreted on compiled classes, and judged as the version itself is."""
    files = {}
    for name in [*candidate.names(), *(bug.name for bug in BUGS)]:
        version = candidate.get(name)
        files[name] = tmp_path / f"on_{name.replace('-', '_').replace('.', '_')}.py"
        files[name].write_text(ON_TOP.format(pgtable=version.pgtable, mmu=version.mmu))
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
    """Python runs signal handlers while it multiplies; their exception comes later, and is not lost."""
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
