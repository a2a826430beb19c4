# SPDX-License-Identifier: GPL-2.0-only
"""The end of a program that was started, as text."""

import subprocess
import sys
import tempfile

from fuzz.processes.ended import end_of, ended_text


def test_the_last_line_is_found_after_much_output() -> None:
    lines = "sys.stderr.write('line\\n' * 5000 + 'cannot allocate memory\\n'); sys.exit(3)"
    command = [sys.executable, "-c", f"import sys; {lines}"]
    with tempfile.TemporaryFile() as errors, subprocess.Popen(command, stderr=errors) as process:
        code, said = end_of(process, errors, 60)
    assert ended_text("qemu", code, said) == "qemu ended with exit code 3: cannot allocate memory"
