# SPDX-License-Identifier: GPL-2.0-only
"""Replays programs under coverage.py: a `fuzz.processes.child.Child`.

Its arguments are MEMORY DATA VERSION...: MEMORY is a descriptor for `fuzz.sides.pulse`, and
DATA the file for the data of coverage.py. DATA.at holds the name of the current program. Each
line on standard input is a JSON list of a program's name, which becomes the context of everything that
it runs, and its text. The answer is a JSON object with the versions' modules of candidate/
and the errors by program. Needs the interpreted form, since
compiled code has no lines to watch.
"""

import json
import sys
from pathlib import Path

import coverage

# Must not import any watched module.
from reference.compiled.choice import is_file_name

from ..distribution import home_folder
from ..processes.parent import parent_of


def watching(data: str, names: list[str]) -> coverage.Coverage:
    """Return what watches kernel code.

    :param data: the file for its data
    :param names: the versions that will be replayed
    """
    home = home_folder()
    outside = {str(Path(name).resolve().parent) for name in names if is_file_name(name)}
    return coverage.Coverage(
        data_file=data,
        config_file=False,
        branch=True,
        # Actors of a `par` block are greenlets: otherwise lines would count in other functions.
        concurrency="greenlet",
        include=[f"{home}/reference/*", f"{home}/candidate/*", *(f"{folder}/*.py" for folder in sorted(outside))],
    )


def main(arguments: list[str]) -> int:
    """Replay until standard input ends.

    :returns: the exit code
    """
    parent, (memory, data, *names) = parent_of(arguments)
    watch = watching(data, names)
    watch.start()
    # Imported only now, so that coverage.py sees the lines that run at import.
    import candidate

    from ..execution.mistakes import CandidateMistakeError
    from ..findings.found import crash_reason
    from ..language.text import parse
    from ..sides.pulse import CANDIDATE, PULSE, REFERENCE, shared
    from .replay import candidate_files, replay

    versions = [candidate.get(name) for name in names]
    # The first program runs twice: code then runs both without and with the caches that a process
    # keeps, however many programs and processes there are.
    again = versions
    troubled: dict[str, str] = {}
    PULSE.attach(shared(int(memory)))
    for line in sys.stdin:
        name, text = json.loads(line)
        Path(f"{data}.at").write_text(name)
        watch.switch_context(name)
        try:
            for version in again + versions:
                replay(version, parse(text), REFERENCE if version is versions[0] else CANDIDATE)
        except CandidateMistakeError as error:
            parent.tell(json.dumps({"mistake": str(error)}).encode())
            return 0
        except Exception as error:
            troubled[name] = crash_reason(error)
        again = []
    watch.stop()
    watch.save()
    files = [str(path) for path in candidate_files(versions)]
    parent.tell(json.dumps({"files": files, "troubled": troubled}).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
