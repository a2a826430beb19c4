# SPDX-License-Identifier: GPL-2.0-only
"""All ways in which a tree can be wrong: exit code 2, one line that names the problem, nothing left behind."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.cache import RECORD
from candidate.tree.building.compiler import CompileFailedError, Compiler, CompilerJob
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE, TreeSource
from candidate.tree.building.wrong import compile_message
from fuzz.command_line import cli
from fuzz.judging.differential import Differential
from fuzz.language.text import parse

from ..unit.console import ROOT, Result, refused
from ..unit.processes import interruptible
from .trees import changed, real_tree, small_tree, version

HOST: Final = "include/linux/kvm_host.h"
# A compiler that answers queries as gcc does, but runs another command when it should compile.
FAKE: Final = """\
#!/bin/sh
case "$*" in
*-dM*|*-print-file-name*) exec gcc "$@";;
esac
{}
"""


class Way(NamedTuple):
    """One way to be wrong.

    :param make: prepares a folder; returns the argument TREE
    :param words: parts of the line
    """

    name: str
    make: Callable[[Path], Path]
    words: tuple[str, ...]


def without(path: str) -> Callable[[Path], Path]:
    """Return a function that makes a small tree without a file or folder."""

    def make(folder: Path) -> Path:
        tree = small_tree(folder / "tree")
        (tree / path).rename(folder / "gone")
        return tree

    return make


def file(folder: Path) -> Path:
    made = folder / "file"
    made.write_text("x\n")
    return made


def loop(folder: Path) -> Path:
    made = folder / "loop"
    made.symlink_to(made)
    return made


def empty(folder: Path) -> Path:
    made = folder / "empty"
    made.mkdir()
    return made


WAYS: Final = (
    Way("no tree", lambda folder: folder / "none", ("none: no such folder; allowed: the top folder of a Linux tree",)),
    Way("a file", file, ("file is not a folder; allowed: the top folder of a Linux tree",)),
    Way("a loop of links", loop, ("loop",)),
    Way("another folder", empty, ("empty is not a kernel tree: it has no folder include",)),
    Way("without arm64", without("arch/arm64"), ("tree is a kernel tree without arm64: it has no folder arch/arm64",)),
    Way("too old", without(PGTABLE), (f"tree has no {PGTABLE}: it is older than Linux 5.10, or has moved it",)),
    Way("without mmu.c", without(MMU), (f"tree has no {MMU}",)),
    Way("without kvm_main.c", without(KVM_MAIN), (f"tree has no {KVM_MAIN}; allowed: a complete tree",)),
    Way("without a folder", without("include/uapi"), ("tree has no folder include/uapi; allowed: a complete tree",)),
    Way("without a header", without("include/linux/kconfig.h"), ("tree has no include/linux/kconfig.h",)),
)


def check(tree: Path, capsys: pytest.CaptureFixture[str], *options: str) -> Result:
    """Run ``s2fuzz tree check``."""
    code = cli.main(["tree", "check", str(tree), *options])
    out, err = capsys.readouterr()
    return code, out, err


def left(cache: Path) -> list[str]:
    """Return the entries of the cache folder."""
    return sorted(each.name for each in cache.iterdir()) if cache.exists() else []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_wrong_tree_is_refused(way: Way, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message is printed as text, and on request as JSON too."""
    tree = way.make(tmp_path)
    code, out, err = check(tree, capsys, "--json")
    answer = json.loads(out)
    assert (answer["exit_code"], answer["error"]["kind"]) == (2, "candidate")
    assert err == f"s2fuzz: {answer['error']['message']}\n"
    refused((code, "", err), f"s2fuzz: {tmp_path}/", *way.words)
    assert check(tree, capsys) == (code, "", err)
    assert left(cache) == []


def fake(folder: Path, does: str) -> Path:
    """Make a compiler that runs this command when it should compile."""
    compiler = folder / "fake-gcc"
    compiler.write_text(FAKE.format(does))
    compiler.chmod(0o755)
    return compiler


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none-gcc", "no C compiler: none-gcc was not found"),
        ("none-gcc -m64", "no C compiler: none-gcc was not found"),
        ("gcc -m32", "gcc -m32 does not compile for x86-64"),
        ("gcc 'quoted", "CC=gcc 'quoted: No closing quotation"),
        ("true", "is not gcc"),
    ],
)
def test_no_compiler(
    name: str,
    words: str,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CC", name)
    refused(check(small_tree(tmp_path / "tree"), capsys), words, "allowed: gcc for x86-64", "apt-get install gcc")
    assert left(cache) == []


def test_a_compiler_with_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "gcc")
    plain = Compiler()
    monkeypatch.setenv("CC", "env gcc -pipe")
    assert (Compiler().identity, Compiler().headers()) == (plain.identity, plain.headers())


def test_no_compiler_in_path(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(check(small_tree(tmp_path / "tree"), capsys), "no C compiler: gcc was not found", "apt-get install gcc")
    assert left(cache) == []


def test_a_compiler_for_another_machine(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compiler = tmp_path / "other-gcc"
    compiler.write_text("#!/bin/sh\necho '#define __GNUC__ 12'\necho '#define __aarch64__ 1'\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    refused(check(small_tree(tmp_path / "tree"), capsys), "other-gcc does not compile for x86-64")


def test_another_machine(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    refused(
        check(small_tree(tmp_path / "tree"), capsys), "a kernel tree runs on x86-64 only, and this machine is aarch64"
    )


def test_a_cache_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = file(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    result = check(small_tree(tmp_path / "tree"), capsys)
    refused(result, f"cannot write to the cache folder {home}/s2fuzz/trees: Not a directory", "named by XDG_CACHE_HOME")


def test_a_cache_that_is_read_only(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = os.mkdir

    def refuse(path: str, mode: int = 0o777) -> None:
        if Path(path).parent == cache:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", refuse)
    result = check(small_tree(tmp_path / "tree"), capsys)
    refused(result, f"cannot write to the cache folder {cache}: Read-only file system", "named by XDG_CACHE_HOME")
    assert left(cache) == []


def test_a_compiler_that_is_killed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", str(fake(tmp_path, "kill -9 $$")))
    refused(check(small_tree(tmp_path / "tree"), capsys), "cannot be built: it was killed by signal 9")
    assert left(cache) == []


def test_a_script_of_the_tree_that_fails(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = small_tree(tmp_path / "tree")
    (tree / "arch/arm64/tools").mkdir()
    (tree / "arch/arm64/tools/gen-sysreg.awk").write_text(
        'BEGIN { print "no such register" > "/dev/stderr"; exit 1 }\n'
    )
    (tree / "arch/arm64/tools/sysreg").write_text("")
    refused(check(tree, capsys), "its script fails: `awk -f arch/arm64/tools/gen-sysreg.awk", "no such register")
    assert left(cache) == []


@pytest.fixture
def interrupted(tmp_path: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a build in which every compiler run takes forever."""
    compiler = fake(tmp_path, f"echo $$ >>{tmp_path}/pids\nexec sleep 600")
    command = interruptible([sys.executable, "-m", "fuzz", "tree", "check", str(small_tree(tmp_path / "tree"))])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CC": str(compiler)}
    with subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE, start_new_session=True) as child:
        try:
            while not (tmp_path / "pids").exists():
                assert child.poll() is None
                time.sleep(0.01)
            yield child
        finally:
            child.kill()
            for pid in (tmp_path / "pids").read_text().split():
                if alive(int(pid)):
                    os.kill(int(pid), signal.SIGKILL)


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_build_leaves_nothing(
    interrupted: subprocess.Popen[str], sent: signal.Signals, code: int, tmp_path: Path, cache: Path
) -> None:
    interrupted.send_signal(sent)
    _, err = interrupted.communicate(timeout=60)
    assert (interrupted.returncode, err) == (code, "s2fuzz: interrupted\n")
    assert left(cache) == []
    assert not any(alive(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_the_next_build_removes_what_a_killed_one_left(
    interrupted: subprocess.Popen[str], tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted.kill()
    interrupted.communicate(timeout=60)
    assert len(left(cache)) == 1
    # Empty files yield no library; only the cache folder matters here.
    assert check(tmp_path / "tree", capsys)[0] == 2
    assert left(cache) == []


def test_a_syntax_error_in_a_patch(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = real_tree()
    lines = (original / MMU).read_text().splitlines()
    at = lines.index("int kvm_handle_guest_abort(struct kvm_vcpu *vcpu)")
    text = "\n".join([*lines[:at], "int kvm_handle_guest_abort(struct kvm_vcpu *vcpu", *lines[at + 1 :]]) + "\n"
    tree = changed(original, tmp_path / "tree", {MMU: text})
    refused(check(tree, capsys), f"{tree} does not compile: {MMU}:{at + 2}: expected ")
    assert left(cache) == []


def test_a_misspelt_function(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = real_tree()
    text = (original / PGTABLE).read_text()
    line = text[: text.index("kvm_tlb_flush_vmid_range(mmu, addr, size)")].count("\n") + 1
    other = text.replace("kvm_tlb_flush_vmid_range(mmu, addr, size)", "kvm_tlb_flash_vmid_range(mmu, addr, size)")
    tree = changed(original, tmp_path / "tree", {PGTABLE: other})
    refused(check(tree, capsys), f"{tree} does not compile: {PGTABLE}:{line}: implicit declaration of function")
    assert left(cache) == []


def test_an_instruction_of_arm64(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = real_tree()
    old = "int kvm_handle_guest_abort(struct kvm_vcpu *vcpu)\n{\n"
    before, _, after = (original / MMU).read_text().partition(old)
    text = f'{before}{old}\tasm volatile("yield2");\n{after}'
    line = (before + old).count("\n") + 1
    tree = changed(original, tmp_path / "tree", {MMU: text})
    refused(check(tree, capsys), f"{tree} does not compile: {MMU}:{line}: no such instruction: `yield2'")
    assert left(cache) == []


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("include/linux/kvm_types.h", ("does not compile: include/", ": No such file or directory")),
        ("arch/arm64/include/asm/sysreg.h", ("lacks the header", "native/shim/asm/sysreg.h:", "use a complete tree")),
    ],
)
def test_a_header_that_moved(
    header: str, words: tuple[str, ...], tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = changed(real_tree(), tmp_path / "tree", {header: None})
    name = header.partition("include/")[2]
    refused(check(tree, capsys), *words, name)
    assert left(cache) == []


def test_a_mistake_in_native_is_not_blamed_on_the_tree(tmp_path: Path) -> None:
    """The compiler cannot tell whether the tree or native/ has changed."""
    source = TreeSource(small_tree(tmp_path / "tree"))
    failed = CompileFailedError(CompilerJob("rt_models.o", []), "native/rt_models.c", 157, "expected ';'")
    assert compile_message(source, failed, []) == (
        f"{source.name} and s2fuzz's own files do not compile together: native/rt_models.c:157: expected ';'; "
        "fix whichever has changed"
    )


def test_a_function_that_changed_its_arguments(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = real_tree()
    text = (original / KVM_MAIN).read_text()
    old = "static struct kvm *kvm_create_vm(unsigned long type, const char *fdname)"
    assert old in text
    tree = changed(original, tmp_path / "tree", {KVM_MAIN: text.replace(old, f"{old[:-1]}, int more)")})
    result = check(tree, capsys)
    # The message is about the tree's own call or that of s2fuzz, whichever is compiled first.
    refused(result, f"{tree} ", " not compile")
    assert "too few arguments to function 'kvm_create_vm'" in result[2]
    assert left(cache) == []


def test_a_function_that_s2fuzz_calls_was_renamed(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A header still declares the old name: all files compile, but no program that calls it would have a verdict."""
    original = real_tree()
    name, other = "kvm_handle_guest_abort", "kvm_handle_stage2_abort"
    head = f"int {name}(struct kvm_vcpu *vcpu)"
    text = (original / MMU).read_text()
    assert f"\n{head}\n" in text
    new = head.replace(name, other)
    tree = changed(original, tmp_path / "tree", {MMU: text.replace(f"\n{head}\n", f"\n{new};\n{new}\n")})
    words = f"{tree}: no compiled file defines {name}(), which s2fuzz calls: "
    refused(check(tree, capsys), words, "native/glue_calls.h:")
    assert left(cache) == []
    moved = {MMU: text.replace(f"\n{head}\n", f"\n{new};\n{new}\n"), "arch/arm64/kvm/abort.c": f"{head}\n{{\n}}\n"}
    tree = changed(original, tmp_path / "other", moved)
    refused(check(tree, capsys), f"arch/arm64/kvm/abort.c defines {name}(), but is not compiled here")


def renamed(old: str, new: str) -> dict[str, str | None]:
    """Return the changed files of a copy of the real tree that renames a member."""
    paths = (KVM_MAIN, MMU, HOST, "virt/kvm/pfncache.c")
    files = {path: (real_tree() / path).read_text() for path in paths}
    return {path: re.sub(rf"\b{old}\b", new, text) for path, text in files.items() if old in text}


def test_a_member_that_s2fuzz_needs_was_renamed(
    tmp_path: Path, common_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the member, the place that needs it, the compiler's error, and the file to change."""
    name = "manual_dirty_log_protect"
    tree = changed(real_tree(), tmp_path / "tree", renamed(name, "manual_protect"))
    words = (
        f"{tree} lacks the member {name} of struct kvm, which s2fuzz needs (native/glue_life.h:",
        f": 'struct kvm' has no member named '{name}'",
        "); if the tree has renamed it, use its name in candidate/tree/native/glue_life.h",
    )
    refused(check(tree, capsys), *words)


def test_the_sequence_of_notifiers_is_found_by_its_use(tmp_path: Path, common_cache: Path) -> None:
    """Neither name of a kernel is needed, as the tree tells which members its retry function reads."""
    files = renamed("mmu_invalidate_seq", "seq_of_notifiers")
    files = {
        path: text.replace("mmu_invalidate_in_progress", "notifiers_running") for path, text in files.items() if text
    }
    copy = f"{PREFIX}{changed(real_tree(), tmp_path / 'tree', files)}"
    program = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n")
    verdict = Differential(candidate.get(version()), candidate.get(copy)).run(program)
    assert (verdict.refused, verdict.findings) == ("", [])


def test_a_sequence_that_is_not_found(tmp_path: Path, common_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the file of native/ that uses the macro, not the header that defines it."""
    files = renamed("mmu_invalidate_seq", "seq_of_notifiers")
    files[HOST] = str(files[HOST]).replace(" != mmu_seq", " - mmu_seq")
    tree = changed(real_tree(), tmp_path / "tree", files)
    words = (
        "lacks the member mmu_invalidate_seq of struct kvm, which s2fuzz needs (native/glue_vms.h:",
        "; if the tree has renamed it, mend the pattern of SEQ_MEMBER in candidate/tree/building/probes.py",
    )
    refused(check(tree, capsys), *words)


def test_two_builds_at_once(common_cache: Path) -> None:
    """Both get the library, which was built once; nothing else is left."""
    tree = real_tree()
    command = [sys.executable, "-m", "fuzz", "tree", "check", str(tree), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = {name for name in left(common_cache) if name.startswith("12-O1-")}
    both = [subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [child.communicate(timeout=600)[0] for child in both]
    assert [child.returncode for child in both] == [0, 0]
    told = [json.loads(answer) for answer in answers]
    assert told[0]["library"] == told[1]["library"]
    if not before:
        assert sorted(each["cached"] for each in told) == [False, True]
    assert not [name for name in left(common_cache) if not (common_cache / name / RECORD).is_file()]
