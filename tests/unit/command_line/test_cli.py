# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one line for each kind of bad input, help, lists."""

import pytest

import candidate
from fuzz.checkers.registry import rules
from fuzz.distribution import form

from ..console import HEAD, MISSING_CLEAN, refused
from .calls import Call, answer, write

BAD_PROGRAMS = {
    "empty": ("", "p.s2:1: there is no program", "s2fuzz 1"),
    "comments_only": ("# nothing\n\n", "p.s2:1:"),
    "binary": (b"\x7fELF\x02\x01\x01\x00\xff\xfe", "p.s2: byte 0xff", "UTF-8"),
    "binary_zeros": (bytes(64), "p.s2:1:", "printable ASCII"),
    "other_version": ("s2fuzz 9\nvm\n", "p.s2:1: unknown version", "1"),
    "unknown_operation": (HEAD + "cpu0 fly a+0\n", "p.s2:4: unknown operation", "read|write|fetch"),
    "unknown_statement": (HEAD + "reboot\n", "p.s2:4: unknown statement", "host"),
    "unknown_slot": (HEAD + "cpu0 read b+0\n", "p.s2:4: unknown slot", "allowed: a"),
    "address_outside_slot": (HEAD + "cpu0 read a+4M\n", "p.s2:4: no such place in slot a: a+4M", "0 to 0x3fffff"),
    "range_outside_slot": (HEAD + "host write a+2M 4M\n", "p.s2:4: size 4M", "4K to 2M"),
    "number_too_large": (HEAD + f"cpu0 read a+{10**40}\n", "p.s2:4:", "too large"),
    "size_too_large": ("s2fuzz 1\nvm\nslot a size=17G backing=anon\n", "p.s2:3: size=17G", "16G"),
    "no_such_cpu": (HEAD + "cpu7 read a+0\n", "p.s2:4: cpu7", "cpu0 to cpu1"),
    "slot_beyond_ipa": ("s2fuzz 1\nvm ipa=32\nslot a ipa=4G size=4K backing=anon\n", "p.s2:3: ipa=4G"),
    "granule_not_there": ("s2fuzz 1\nvm granule=5K\n", "p.s2:2: granule=5K", "allowed: 4K"),
    "ipa_too_large": ("s2fuzz 1\nvm ipa=64\n", "p.s2:2: ipa=64", "32 to 48"),
    "device_logged": ("s2fuzz 1\nvm\nslot a size=4K backing=device log=on\n", "p.s2:3: log=on with backing=device"),
    "slots_overlap": (HEAD + "slot b ipa=1G size=4K backing=anon\n", "p.s2:4: slot b overlaps slot a"),
    "log_not_on": ("s2fuzz 1\nvm\nslot a size=4K backing=anon\nlog a get\n", "p.s2:4: log a is off at this point"),
}


@pytest.mark.parametrize("name", BAD_PROGRAMS)
def test_bad_program(call: Call, name: str) -> None:
    text, *words = BAD_PROGRAMS[name]
    refused(call("run", write(text)), *[str(word) for word in words])


def test_no_such_file(call: Call) -> None:
    refused(call("run", "nowhere.s2"), "nowhere.s2: No such file or directory")


def test_directory(call: Call) -> None:
    refused(call("run", "."), ".: Is a directory")


def test_each_bad_program_is_reported_and_no_program_runs(call: Call) -> None:
    code, out, err = call("run", write("", "one.s2"), write(MISSING_CLEAN, "good.s2"), "two.s2")
    assert (code, out) == (2, "")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["one.s2", "two.s2"]


@pytest.mark.parametrize("option", ["--candidate", "--reference"])
def test_unknown_candidate(call: Call, option: str) -> None:
    refused(call("run", option, "rfc-v9", write(MISSING_CLEAN)), "no version 'rfc-v9'", "rfc-v1-fixed")


def test_unknown_candidate_to_fuzz(call: Call) -> None:
    refused(call("fuzz", "--candidate", "rfc-v9"), "no version 'rfc-v9'", "rfc-v1-fixed")


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_unwritable_out(call: Call, out: str) -> None:
    write("", "file")
    refused(call("fuzz", "--candidate", "rfc-v1", "--programs", "1", "--out", out), f"--out {out}:", "name a directory")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e300", "soon"])
def test_invalid_seconds(call: Call, value: str) -> None:
    refused(call("fuzz", "--candidate", "rfc-v1", f"--seconds={value}"), "--seconds", "more than 0")


@pytest.mark.parametrize("value", ["-1", "1.5", "0x10", str(1 << 64), "9" * 5000, "\u0663"])
def test_invalid_seed(call: Call, value: str) -> None:
    refused(call("fuzz", "--candidate", "rfc-v1", f"--seed={value}"), "--seed", "whole number from 0")


@pytest.mark.parametrize("command", ["fuzz --candidate rfc-v1", "bench"])
@pytest.mark.parametrize("value", ["0", "-5", "many"])
def test_invalid_programs(call: Call, command: str, value: str) -> None:
    refused(call(*command.split(), f"--programs={value}"), "--programs", "whole number from 1")


@pytest.mark.parametrize("usage", ["", "fly", "run", "fuzz", "run --fly p.s2", "list more"])
def test_bad_usage(call: Call, usage: str) -> None:
    refused(call(*usage.split()), "--help shows what is allowed")


@pytest.mark.parametrize("option", ["--candidate", "--reference"])
def test_a_version_given_twice_is_refused(call: Call, option: str) -> None:
    both = [option, "rfc-v1", option, "rfc-v2"]
    refused(call("run", write(MISSING_CLEAN), *both), option, "given twice; give it once")


def test_version_output_names_the_form(call: Call) -> None:
    code, out, _ = call("--version")
    assert code == 0
    assert form() in out


@pytest.mark.parametrize(
    "command", ["", "list", "demo", "run", "convert", "fuzz", "minimize", "promote", "bench", "build"]
)
def test_help(call: Call, command: str) -> None:
    code, out, _ = call(*command.split(), "--help")
    assert code == 0
    assert "exit codes:" in out


def test_list(call: Call) -> None:
    code, out, _ = call("list")
    assert code == 0
    for name in candidate.names():
        assert f"  {name} " in out
        assert candidate.get(name).origin in out


def test_list_json(call: Call) -> None:
    found = answer(call("list", "--json"))
    assert found.keys() == {"s2fuzz", "form", "default_reference", "versions"}
    assert [version["name"] for version in found["versions"]] == candidate.names()


def test_list_checkers(call: Call) -> None:
    code, out, _ = call("list", "--checkers")
    assert code == 0
    for rule in rules():
        assert f"\n{rule.name}: {rule.severity.name.lower()}" in out
    found = answer(call("list", "--checkers", "--json"))
    assert found.keys() == {"s2fuzz", "form", "checkers"}
    assert [(each["name"], each["rule"], each["why"]) for each in found["checkers"]] == [
        (rule.name, rule.holds, rule.why) for rule in rules()
    ]
