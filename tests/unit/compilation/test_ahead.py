# SPDX-License-Identifier: GPL-2.0-only
"""C files of the runtime library that were compiled ahead are not compiled again; the others are."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fuzz.compilation.compile import runtime_ahead
from fuzz.compilation.jobs import jobs
from fuzz.compilation.objects import Objects
from fuzz.compilation.profile import PLAIN
from reference.compiled.choice import LIBRARY


@dataclass
class Extension:
    """Stands for an extension of setuptools."""

    name: str
    sources: list[str]
    include_dirs: list[str] = field(default_factory=list)
    extra_compile_args: list[str] = field(default_factory=list)
    extra_link_args: list[str] = field(default_factory=list)
    extra_objects: list[str] = field(default_factory=list)


class Compiler:
    """Records the names of the files that it compiles; has no precompiled headers."""

    compiler_so = ("false",)
    include_dirs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.compiled: list[str] = []

    def compile(self, sources: list[str], **_: Any) -> list[str]:
        self.compiled += [Path(source).name for source in sources]
        return [f"here/{Path(source).stem}.o" for source in sources]


def test_files_compiled_ahead_are_used(tmp_path: Path) -> None:
    sources = [tmp_path / name for name in ("__native_reference___kernel.c", "int_ops.c", "list_ops.c", "str_ops.c")]
    for source in sources:
        source.write_text("int x;\n")
    done: Future[list[str]] = Future()
    done.set_result(["ahead/int_ops.o"])
    cancelled: Future[list[str]] = Future()
    cancelled.cancel()
    cancelled.set_running_or_notify_cancel()
    extension = Extension(LIBRARY, [str(source) for source in sources])
    compiler = Compiler()
    objects = Objects(compiler, jobs([extension]), tmp_path, {"int_ops.c": done, "list_ops.c": cancelled}, (PLAIN,))
    objects.compile(PLAIN)
    objects.hand_over()
    assert sorted(compiler.compiled) == ["__native_reference___kernel.c", "list_ops.c", "str_ops.c"]
    assert sorted(extension.extra_objects) == [
        "ahead/int_ops.o",
        "here/__native_reference___kernel.o",
        "here/list_ops.o",
        "here/str_ops.o",
    ]
    assert extension.sources == []


def test_the_runtime_library_is_compiled_with_the_same_options_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = pytest.importorskip("mypyc.common")
    seen: list[list[str]] = []

    def compile_one(compiler: Any, job: Any, folder: Path, header: str) -> list[str]:
        seen.append([job.level, header, *job.extension.extra_compile_args])
        return list(job.sources)

    monkeypatch.setattr("fuzz.compilation.compile.compile_one", compile_one)
    with ThreadPoolExecutor(1) as pool:
        ahead = runtime_ahead(pool, tmp_path)
    assert list(ahead) == list(common.RUNTIME_C_FILES)
    assert all(Path(future.result()[0]).is_file() for future in ahead.values())
    assert {(level, header) for level, header, *_ in seen} == {("-O2", "")}
    assert all("-g0" in each and "-DPyNumber_Multiply=s2fuzz_multiply" in each for each in seen)
