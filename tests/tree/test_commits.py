# SPDX-License-Identifier: GPL-2.0-only
"""Commits of a git repository as versions: ``tree:FOLDER@COMMIT``."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import PREFIX, SANITIZE, root_of, source_of, with_pinned_commit
from candidate.tree.building import commits
from candidate.tree.building.commits import READ
from candidate.tree.building.source import MMU, PGTABLE
from candidate.tree.facts import commit
from candidate.tree.lines import outside
from candidate.tree.opening import has_changed
from fuzz.command_line import cli
from fuzz.exit_codes import BAD_INPUT, WORSE

from ..unit.console import ROOT, put_on_path, refused
from ..unit.pages import commands
from .repositories import WHO, commit_all, git, put_dropped
from .trees import small_tree

FIRST: Final = "int first;\n"
SECOND: Final = "int second;\n"
PROGRAM: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 write a+0\nhost discard a+0 2M\n"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


@pytest.fixture
def repository(tmp_path: Path, cache: Path) -> Path:
    """Make a repository with three commits of a small tree; the last two change mmu.c. It also has unrelated files."""
    assert not cache.exists()
    tree = small_tree(tmp_path / "linux")
    git(tree, "init", "--quiet", "--initial-branch=main")
    (tree / "drivers").mkdir()
    (tree / "drivers" / "x.c").write_text("int x;\n")
    (tree / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\n")
    commit_all(tree, "v6.12")
    git(tree, "tag", "v6.12")
    commit_patch(tree, FIRST)
    commit_patch(tree, SECOND)
    return tree


def commit_patch(tree: Path, text: str) -> str:
    """Commit a patch to mmu.c."""
    (tree / MMU).write_text(text)
    return commit_all(tree, text)


def text_of(version: str) -> str:
    """Return the text of mmu.c of a version."""
    return (root_of(version) / MMU).read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HEAD", SECOND),
        ("HEAD~1", FIRST),
        ("v6.12", ""),
        ("main", SECOND),
        ("@", SECOND),
    ],
)
def test_a_version_is_a_commit(repository: Path, name: str, text: str) -> None:
    version = f"{PREFIX}{repository}@{name}"
    assert text_of(version) == text_of(f"{version}{SANITIZE}") == text
    source = source_of(version)
    head = git(repository, "rev-parse", f"{name}^{{commit}}")
    assert (source.name, source.commit, commit(source)) == (f"{repository}@{name}", head, head)


def test_the_repository_is_not_touched(repository: Path) -> None:
    """Changes in the work tree and in the index stay."""
    (repository / MMU).write_text("int staged;\n")
    git(repository, "add", MMU)
    (repository / MMU).write_text("int edited;\n")
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)
    before = git(repository, "status", "--porcelain=v2"), git(repository, "ls-files", "--stage")
    assert text_of(f"{PREFIX}{repository}@HEAD~1") == FIRST
    assert (git(repository, "status", "--porcelain=v2"), git(repository, "ls-files", "--stage")) == before
    assert text_of(f"{PREFIX}{repository}") == "int edited;\n"
    assert list(repository.rglob("hooked")) == []


def test_the_index_of_a_work_tree_is_not_written(repository: Path) -> None:
    """`git diff` and `git status` would write it: they examine a touched file and record that it is unchanged."""
    os.utime(repository / MMU, (1, 1))
    index = (repository / ".git" / "index").read_bytes()
    assert commit(source_of(f"{PREFIX}{repository}")) == git(repository, "rev-parse", "HEAD")
    assert (repository / ".git" / "index").read_bytes() == index


def test_files_that_no_build_reads_are_left_out(repository: Path, cache: Path) -> None:
    root = root_of(f"{PREFIX}{repository}@HEAD")
    assert not (root / "drivers").exists()
    assert [each.name for each in (cache.parent / "commits").iterdir()] == [root.name]
    # Files of git are left out too.
    assert {each.name for each in root.iterdir()} <= {path.partition("/")[0] for path in READ}


def test_all_files_by_which_trees_are_compared_are_checked_out() -> None:
    folders = [*outside._FOLDERS, *(folder for folder, _ in outside._PATTERNS)]
    assert [each for each in folders if not any(f"{each}/".startswith(f"{path}/") for path in READ)] == []


def test_a_branch_moves_and_a_pinned_name_stays(repository: Path) -> None:
    version = f"{PREFIX}{repository}@main"
    name = with_pinned_commit(version)
    assert re.fullmatch(rf"{PREFIX}{re.escape(str(repository))}@[0-9a-f]{{12}}", name)
    assert with_pinned_commit(name) == name
    assert with_pinned_commit(f"{version}{SANITIZE}") == f"{name}{SANITIZE}"
    commit_patch(repository, "int third;\n")
    assert (text_of(version), text_of(name)) == ("int third;\n", SECOND)


@pytest.mark.parametrize("name", ["original", "rfc-v1", "./my_patch.py", f"{PREFIX}../linux", f"{PREFIX}/no/where@x"])
def test_other_names_are_unchanged(name: str) -> None:
    assert with_pinned_commit(name) == name


def test_a_folder_with_an_at_sign_in_its_name_is_a_folder(repository: Path) -> None:
    tree = small_tree(repository.parent / "linux@HEAD")
    assert root_of(f"{PREFIX}{tree}") == tree
    commits = repository.rename(repository.parent / "my@linux")
    assert text_of(f"{PREFIX}{commits}@HEAD~1") == FIRST


def test_git_variables_of_another_repository_are_ignored(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook or ``git rebase --exec`` names its repository in the environment."""
    other = repository.parent / "other"
    git(repository.parent, "init", "--quiet", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert text_of(f"{PREFIX}{repository}@HEAD~1") == FIRST
    assert not (other / "index").exists()
    assert commit(source_of(f"{PREFIX}{repository}")) == source_of(f"{PREFIX}{repository}@HEAD").commit


@pytest.mark.parametrize("how", ["worktree", "bare", "sparse"])
def test_other_kinds_of_repositories(repository: Path, how: str) -> None:
    place = repository.parent / how
    if how == "worktree":
        git(repository, "worktree", "add", "--quiet", "--detach", str(place), "v6.12")
    elif how == "bare":
        git(repository, "clone", "--quiet", "--bare", ".", str(place))
    else:
        git(repository, "clone", "--quiet", ".", str(place))
        git(place, "sparse-checkout", "set", "drivers")
    assert text_of(f"{PREFIX}{place}@main~1") == FIRST


def test_a_partial_clone_fetches_its_files_together(repository: Path) -> None:
    """One fetch for each file would take an hour over a network."""
    (repository / "virt" / "many").mkdir()
    for number in range(30):
        (repository / "virt" / "many" / f"{number}.h").write_text(f"{number}\n")
    commit_all(repository, "many")
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    place = repository.parent / "partial"
    command = ("clone", "--quiet", "--filter=blob:none", "--no-checkout", f"file://{repository}", str(place))
    git(repository, *command)
    packs = place / ".git" / "objects" / "pack"
    before = len(list(packs.glob("*.pack")))
    root = root_of(f"{PREFIX}{place}@main")
    assert (root / "virt" / "many" / "29.h").read_text() == "29\n"
    assert before < len(list(packs.glob("*.pack"))) <= before + len(READ)


def test_another_version_of_s2fuzz_uses_another_folder(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may check out less of a commit."""
    first = root_of(f"{PREFIX}{repository}@HEAD")
    monkeypatch.setattr(commits, "_WHAT", "0" * 8)
    second = root_of(f"{PREFIX}{repository}@HEAD")
    assert first != second
    assert (second / MMU).read_text() == SECOND


def test_git_settings_of_the_environment_apply(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build machine lists its safe repositories there."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    assert text_of(f"{PREFIX}{repository}@HEAD") == SECOND


def no_git(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/none")


def no_cache(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository.parent / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(repository.parent / "file"))


def no_repository(repository: Path, _: pytest.MonkeyPatch) -> None:
    (repository / ".git").rename(repository.parent / "gone")


def lost(repository: Path, _: pytest.MonkeyPatch) -> None:
    """Remove the contents of a file from the repository."""
    name = git(repository, "rev-parse", f"HEAD~1:{MMU}")
    (repository / ".git" / "objects" / name[:2] / name[2:]).unlink()


def other_owner(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")


def shallow(repository: Path, _: pytest.MonkeyPatch) -> None:
    (repository / ".git" / "shallow").write_text(git(repository, "rev-parse", "HEAD") + "\n")


ANY: Final = "allowed: FOLDER@COMMIT, with the top folder of a git repository"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("linux@none", None, ("linux has no commit 'none'", ANY)),
        ("linux@HEAD~9", None, ("linux has no commit 'HEAD~9'", ANY)),
        ("linux@HEAD:Makefile", None, ("linux@HEAD:Makefile: ", ANY)),
        ("linux@--all", None, ("linux has no commit '--all'", ANY)),
        ("linux@^HEAD", None, ("linux has no commit '^HEAD'", ANY)),
        ("linux@HEAD^{tree}", None, ("linux@HEAD^{tree}: HEAD^{tree}^{commit}: expected commit type", ANY)),
        ("linux@HEAD~1", shallow, ("linux has no commit 'HEAD~1'; it is a shallow clone", "--deepen=100", ANY)),
        ("linux@HEAD", other_owner, ("dubious ownership", "allowed: after `git config --global --add safe.directory ")),
        ("linux@", None, ("linux@: the commit is empty", "allowed: tree:PATH or tree:PATH@COMMIT")),
        ("nowhere@HEAD", None, ("nowhere@HEAD: no such folder",)),
        ("linux/virt@HEAD", None, ("is the folder virt/ of a git repository", ANY)),
        ("linux@HEAD~1", no_repository, ("not a git repository", ANY)),
        ("linux@HEAD~1", no_git, ("cannot run git: No such file or directory; install it",)),
        ("linux@HEAD~1", no_cache, ("cannot write to the cache folder", "Not a directory", "XDG_CACHE_HOME")),
        ("linux@HEAD~1", lost, ("cannot be checked out into ", "cache/s2fuzz/commits: ")),
    ],
)
def test_errors_are_reported_in_one_line(
    repository: Path,
    name: str,
    change: Callable[[Path, pytest.MonkeyPatch], None] | None,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Ignore a repository that contains the folders of the tests.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))
    if change is not None:
        change(repository, monkeypatch)
    code = cli.main(["tree", "check", f"{repository.parent}/{name}"])
    refused((code, *capsys.readouterr()), *words)
    assert list(repository.parent.glob("cache/s2fuzz/commits/*")) == []


def test_a_commit_that_is_no_tree(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(repository, "rm", "-q", PGTABLE)
    git(repository, "commit", "--quiet", "-m", "gone")
    assert cli.main(["tree", "check", f"{repository}@HEAD"]) == BAD_INPUT
    assert f"{repository}@HEAD has no arch/arm64/kvm/hyp/pgtable.c" in capsys.readouterr().err


@pytest.fixture
def linux(tmp_path: Path, common_cache: Path) -> Path:
    """Make a repository with two commits of a real tree: unchanged, and with a mistake. Other tests may build both."""
    assert common_cache.name == "trees"
    return put_dropped(tmp_path / "linux")


def test_a_commit_against_the_one_before_it(
    linux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both come from one repository, not from its work tree; the finding keeps both names."""
    (tmp_path / "p.s2").write_text(PROGRAM)
    monkeypatch.chdir(linux)
    git(linux, "checkout", "--quiet", "HEAD~1")
    versions = ["--reference", "tree:.@master~1", "--candidate", "tree:.@master"]
    for command in (["run", "../p.s2"], ["fuzz", "--programs", "40", "--workers", "1", "--out", "found"]):
        assert cli.main([*command, *versions, "--json"]) == WORSE
        said = json.loads(capsys.readouterr().out)
    names = [with_pinned_commit(f"tree:.@{name}") for name in ("master~1", "master")]
    assert [said["reference"], said["candidate"]] == names
    shown = next(each for each in said["findings"] if each["signature"].startswith("refcount: "))
    assert said["exercise"]["ran"] == said["exercise"]["lines"] > 0
    comments = Path(shown["file"]).read_text()
    for key, name in zip(("reference", "candidate"), names, strict=True):
        assert f"# {key}: {name.replace('tree:.', f'tree:{linux}')}\n" in comments
    # A replay shows the same even if the branch has moved.
    git(linux, "branch", "--force", "master", "master~1")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", str(linux / shown["file"])]) == WORSE


def test_the_recipe_for_a_rebase_stops_at_the_commit_that_breaks_it(
    linux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recipe,) = [line for line in commands(ROOT / "docs" / "reports.md") if "git rebase" in line and "tree:" in line]
    words = shlex.split(recipe)
    assert words[:3] == ["git", "rebase", "--exec"]
    (linux / "README").write_text("More words.\n")
    commit_all(linux, "words")
    put_on_path(tmp_path, monkeypatch)
    command = ["rebase", "--exec", words[3].replace("--programs 300", "--programs 20 --workers 1"), "HEAD~2"]
    done = subprocess.run(["git", *WHO, "-C", str(linux), *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert git(linux, "log", "-1", "--format=%s") == "a put dropped"
    assert "refcount: " in done.stdout


def test_a_session_keeps_its_commit(linux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = candidate.get(with_pinned_commit(f"tree:{linux}@master~1"))
    git(linux, "checkout", "--quiet", "--detach")
    git(linux, "branch", "--force", "master", "master~1")
    assert not has_changed(opened.name, opened.content)
    assert re.fullmatch(
        rf"the kernel tree {re.escape(opened.name.removeprefix(PREFIX))} \(Linux 6\.12\.\d+\), compiled", opened.origin
    )


def test_a_campaign_is_resumed_and_read_from_any_folder(
    linux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can also be read after the repository has gone."""
    for programs, folder, name in ((40, linux, "."), (400, tmp_path, "linux")):
        monkeypatch.chdir(folder)
        versions = ["--reference", f"tree:{name}@master~1", "--candidate", f"tree:{name}@master"]
        ends = ["--until", f"programs={programs}", "--workers", "1", "--hours", "0.003"]
        assert cli.main(["campaign", str(tmp_path / "campaign"), *versions, *ends]) == WORSE
    linux.rename(tmp_path / "away")
    monkeypatch.chdir("/")
    capsys.readouterr()
    assert cli.main(["status", str(tmp_path / "campaign"), "--json"]) == WORSE
    said = json.loads(capsys.readouterr().out)
    assert said["candidate"].startswith(f"tree:{linux}@")
    assert said["sessions"] == 2
    assert cli.main(["status", str(tmp_path / "campaign")]) == WORSE
    assert "regression  refcount: " in capsys.readouterr().out
