# SPDX-License-Identifier: GPL-2.0-only
"""Sources of /init and of the plugin, compiled for this machine with stubs in place of the rest."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from fuzz.real.initrd import NATIVE
from fuzz.real.plugin import COMPILER

FLAGS: Final = ("-std=gnu11", "-O1", "-Wall", "-Werror", "-Wno-return-type", "-rdynamic")
# The console and the kernel's files. Outcomes and remarks go to standard output.
STUBS: Final = r"""
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "init.h"

static void say_list(const char *format, va_list arguments)
{
    vdprintf(1, format, arguments);
}

void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_list(format, arguments);
    va_end(arguments);
}

void result(const char *status, const char *format, ...)
{
    va_list arguments;

    say("r %d %s ", operation, status);
    va_start(arguments, format);
    say_list(format, arguments);
    va_end(arguments);
    say("\n");
}

void cannot(const char *what, int error)
{
    say("r %d error %d of %s\n", CREATION, error, what);
}

void put(const char *path, const char *text)
{
}

void pass_messages(void)
{
}

long number_in(const char *path, const char *key)
{
    return 0;
}
"""


def compiled(text: str, folder: Path, *sources: str) -> Path:
    """Return a program compiled from a text and from further native sources; skip the test without a compiler."""
    if shutil.which(COMPILER) is None:
        pytest.skip(f"no {COMPILER} on PATH")
    (folder / "harness.c").write_text(text)
    files = [str(folder / "harness.c"), *(str(NATIVE / name) for name in sources)]
    command = [COMPILER, *FLAGS, "-I", str(NATIVE), "-o", str(folder / "harness"), *files, "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "harness"


def said(program: Path, given: str = "") -> list[str]:
    """Return the lines that a program prints for this input."""
    done = subprocess.run([str(program)], input=given, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
