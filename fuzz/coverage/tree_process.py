# SPDX-License-Identifier: GPL-2.0-only
"""Replays programs on a kernel tree: a `fuzz.processes.child.Child`.

Its arguments are MEMORY DATA VERSION, and its input is that of `fuzz.coverage.port_process`. It writes the result of
`fuzz.coverage.c_lines.ReachedLines.to_wire` to DATA as JSON. The answer is a JSON object with the errors, by
program.
"""

import json
import sys
from pathlib import Path

import candidate

from ..findings.found import crash_reason
from ..language.text import parse
from ..processes.parent import parent_of
from ..sides.pulse import PULSE, shared
from .c_lines import ReachedLines


def main(arguments: list[str]) -> int:
    """Replay until standard input ends.

    :returns: the exit code
    """
    parent, (memory, data, version) = parent_of(arguments)
    found = ReachedLines(candidate.get(version))
    troubled: dict[str, str] = {}
    PULSE.attach(shared(int(memory)))
    for line in sys.stdin:
        name, text = json.loads(line)
        Path(f"{data}.at").write_text(name)
        try:
            found.add(name, parse(text))
        except Exception as error:
            troubled[name] = crash_reason(error)
    Path(data).write_text(json.dumps(found.to_wire()))
    parent.tell(json.dumps({"troubled": troubled}).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
