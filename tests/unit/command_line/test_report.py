# SPDX-License-Identifier: GPL-2.0-only
"""The report command, and run with the comments of a program and a mail on standard input."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import candidate
from fuzz.findings.digests import code_text

from ..console import MISSING_CLEAN, ROOT, refused
from .calls import Call, answer, write

SIGNATURE = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
LOCKING = "locking: kvm_mmu_topup_memory_cache: memory cache filled under mmu_lock"
ABOUT = f"# kind: regression\n# signature: {SIGNATURE}\n# reference: original\n# candidate: rfc-v1-3\n"
COMMAND = (sys.executable, "-m", "fuzz", "report", "x.s2")


Pipe = Callable[[str], None]


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """Return a function that puts a text on standard input."""
    with ExitStack() as stack:

        def pipe(text: str) -> None:
            path = tmp_path / "stdin"
            path.write_text(text)
            monkeypatch.setattr(sys, "stdin", stack.enter_context(path.open()))

        yield pipe


def test_report_explains_the_finding_of_a_file(call: Call) -> None:
    code, out, err = call("report", write(ABOUT + MISSING_CLEAN, "x.s2"))
    assert (code, err) == (0, "")
    assert out.startswith("rfc-v1-3 breaks a rule that the original keeps.\n")
    assert max(map(len, out.splitlines())) <= 72


def test_report_selects_one_of_two_findings(call: Call) -> None:
    """Select the finding that the comments name; without comments the weightiest one, or the one asked for."""
    write(MISSING_CLEAN)
    assert f"regression: {SIGNATURE}" in " ".join(call("report", "p.s2", "--candidate", "rfc-v1")[1].split())
    asked = call("report", "p.s2", "--candidate", "rfc-v1", "--signature", "locking*", "--json")
    assert (answer(asked)["signature"], asked[0]) == (LOCKING, 0)
    write(ABOUT.replace(SIGNATURE, LOCKING).replace("rfc-v1-3", "rfc-v1") + MISSING_CLEAN)
    assert answer(call("report", "p.s2", "--json"))["signature"] == LOCKING


def test_a_finding_that_the_versions_no_longer_show_is_not_replaced_silently(call: Call) -> None:
    stale = "refcount: stage2_unmap_walker: too many references L3"
    code, out, err = call("report", write(ABOUT.replace(SIGNATURE, stale) + MISSING_CLEAN))
    assert code == 0
    assert "dcache" in out
    assert f"its comments name regression {stale}, which these versions do not show; this is about regression" in err


def test_a_finding_is_known_by_its_former_signature(call: Call) -> None:
    outside = "s2fuzz 1\nvm ipa=32\nslot a size=4K backing=anon\ncpu0 outside read 8G\n"
    current = "contract: kvm_handle_guest_abort: I/O exit beyond the guest's address space"
    about = "# kind: common\n# signature: {}\n# candidate: v5.14\n# reference: original\n"
    for signature in (current, current.replace("beyond", "behind")):
        code, _, err = call("report", write(about.format(signature) + outside))
        assert (code, err) == (0, "")


def test_report_json_has_the_documented_keys(call: Call) -> None:
    found = answer(call("report", write(ABOUT + MISSING_CLEAN), "--json"))
    keys = (ROOT / "fuzz" / "reports" / "answers.py").read_text().partition("``report``: ")[2].partition("\n\n")[0]
    for key in found:
        assert key in ("s2fuzz", "form") or f"``{key}``" in keys, key
    assert found["calls"][-1]["own"]
    assert found["versions"]["rfc-v1-3"]


def test_report_mentions_a_changed_candidate(call: Call) -> None:
    now = code_text("original", "rfc-v1-3")
    changed = "rfc-v1-3 has changed since this was filed"
    assert changed not in call("report", write(f"{ABOUT}# code: {now}\n{MISSING_CLEAN}"))[1]
    # Change the first and the last digit, whatever they are.
    first, last = ("1" if now.startswith("0") else "0"), ("1" if now.endswith("0") else "0")
    other = f"{first}{now[1:-1]}{last}"
    assert changed in call("report", write(f"{ABOUT}# code: {other}\n{MISSING_CLEAN}"))[1]


def test_report_refuses_a_program_without_a_finding(call: Call) -> None:
    write(MISSING_CLEAN)
    refused(call("report", "p.s2"), "no comment names its candidate")
    refused(call("report", "p.s2", "--candidate", "rfc-v1-fixed"), "shows nothing")
    refused(call("report", "nowhere.s2"), "No such file")


def terminal(folder: Path, **environment: str) -> str:
    """Return the output of a report in a terminal."""
    ours, theirs = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        COMMAND,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**variables, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    found = b""
    try:
        while data := os.read(ours, 65536):
            found += data
    except OSError:
        # The other end is closed.
        pass
    os.close(ours)
    assert process.wait() == 0
    return found.decode().replace("\r\n", "\n")


def test_colours_are_for_terminals_only(call: Call, tmp_path: Path) -> None:
    plain = call("report", write(ABOUT + MISSING_CLEAN, "x.s2"))[1]
    coloured = terminal(tmp_path)
    assert "\x1b[1;31mrfc-v1-3 breaks a rule" in coloured
    assert terminal(tmp_path, NO_COLOR="1") == plain


def test_run_takes_the_versions_of_the_comments(call: Call) -> None:
    write(ABOUT + MISSING_CLEAN, "x.s2")
    code, out, _ = call("run", "x.s2")
    assert (code, out.partition("\n")[0]) == (1, "x.s2: rfc-v1-3 against original: regression")
    # Options take precedence over comments.
    assert call("run", "x.s2", "--candidate", "rfc-v1-fixed")[1].startswith(
        "x.s2: rfc-v1-fixed against original: clean"
    )
    assert call("run", "x.s2", "--reference", "rfc-v1")[1].startswith("x.s2: rfc-v1-3 against rfc-v1: ")


def test_run_of_several_programs_takes_the_versions_of_each(call: Call) -> None:
    write(ABOUT + MISSING_CLEAN, "x.s2")
    write(ABOUT.replace("rfc-v1-3", "rfc-v1-fixed") + MISSING_CLEAN, "y.s2")
    found = answer(call("run", "x.s2", "y.s2", write(MISSING_CLEAN), "--json"))
    names = [(each["program"], each["candidate"]) for each in found["results"]]
    others = [("p.s2", name) for name in candidate.names() if name != "original"]
    assert names == [("x.s2", "rfc-v1-3"), ("y.s2", "rfc-v1-fixed"), *others]
    assert len({each["candidate"] for each in found["changes"]}) == len(found["changes"]) == len(others)


def test_the_trace_covers_the_finding_of_the_file(call: Call) -> None:
    """Run rfc-v1, which shows two findings; without comments the trace covers both."""
    both = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1", "--trace")[1]
    assert "!! locking" in both
    assert "!! dcache" in both
    about = ABOUT.replace("rfc-v1-3", "rfc-v1")
    one = call("run", write(about.replace(SIGNATURE, LOCKING) + MISSING_CLEAN), "--trace")[1]
    assert "!! locking" in one
    assert "!! dcache" not in one


def test_run_reads_standard_input_and_mails(call: Call, pipe: Pipe) -> None:
    quoted = "".join(f"> {line}\n" for line in (ABOUT + MISSING_CLEAN).splitlines())
    for text in (ABOUT + MISSING_CLEAN, f"Hello,\n\n{quoted}\nRegards\n"):
        pipe(text)
        code, out, _ = call("run", "-")
        assert (code, out.partition("\n")[0]) == (1, "<stdin>: rfc-v1-3 against original: regression")


def test_a_mail_does_not_choose_code_outside_of_s2fuzz(call: Call, pipe: Pipe) -> None:
    """Refuse to run a foreign file or tree because a mail names it."""
    for name in ("./evil.py", "tree:/tmp/evil"):
        Path("evil.py").write_text("raise SystemExit('it ran')\n")
        pipe(ABOUT.replace("rfc-v1-3", name) + MISSING_CLEAN)
        refused(call("run", "-"), "<stdin>: its comments name", "name it yourself, with --candidate")


def test_standard_input_that_is_no_program(call: Call, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe("Hello\n")
    refused(call("run", "-"), "<stdin>:1: the first line is 'Hello'")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    refused(call("run", "-"), "<stdin>: cannot be read")
    monkeypatch.setattr(sys, "stdin", None)
    refused(call("run", "-"), "<stdin>: cannot be read")


def test_minimize_of_standard_input_writes_to_standard_output(call: Call, tmp_path: Path, pipe: Pipe) -> None:
    pipe(ABOUT + MISSING_CLEAN)
    code, out, _ = call("minimize", "-")
    assert code == 0
    assert f"# signature: {SIGNATURE}\n" in out
    assert f"# code: {code_text('original', 'rfc-v1-3')}\n" in out
    assert list(tmp_path.glob("*.min*")) == []


@pytest.mark.parametrize("command", ["run", "report", "minimize", "promote"])
@pytest.mark.parametrize("key", ["reference", "candidate"])
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("./my_patch.py", "candidate ./my_patch.py: no such file; give the path of a Python file"),
        ("my-patch", "no version 'my-patch'; there are: original, "),
        ("tree:/nowhere/linux", "/nowhere/linux: no such folder; allowed: the top folder of a Linux tree"),
    ],
)
def test_a_missing_version_named_only_by_a_comment(call: Call, command: str, key: str, name: str, wrong: str) -> None:
    """Run a file that was made in another folder, or on another machine."""
    there = {"reference": "original", "candidate": "rfc-v1-3"}[key]
    write(ABOUT.replace(f"{key}: {there}", f"{key}: {name}") + MISSING_CLEAN, "x.s2")
    where = ("--out", ".") if command == "promote" else ()
    words = f"s2fuzz: x.s2: its comment `# {key}: {name}`: {wrong}", f"; or name another version with --{key}\n"
    refused(call(command, "x.s2", *where), *words)
    # If the user typed the name, the message does not mention the comment.
    refused(call(command, "x.s2", *where, f"--{key}", name), f"s2fuzz: {wrong}")
