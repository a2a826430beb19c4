# SPDX-License-Identifier: GPL-2.0-only
"""A process that replays programs: ``python -m fuzz.coverage.child PARENT MEMORY DATA VERSION...``.

PARENT is the parent's process number, MEMORY a descriptor for `fuzz.sides.pulse`, DATA the
file for what coverage.py sees; DATA.at has the name of the program under way. Each
line on standard input is a JSON list of a program's name, which becomes the context of
all that it runs, and its text. On standard output: a JSON object with the modules of
candidate/ that the versions are made of, and what went wrong, by program. Needs the
interpreted form, for compiled code has no lines to watch.
"""

import json
import sys
from pathlib import Path

import coverage

from ..distribution import home_folder
from ..processes.orphans import die_with_parent


def main(arguments: list[str]) -> int:
    """Replay until standard input ends.

    :returns: the exit code
    """
    die_with_parent(int(arguments[0]))
    home = home_folder()
    watch = coverage.Coverage(
        data_file=arguments[2],
        config_file=False,
        branch=True,
        include=[f"{home}/reference/*", f"{home}/candidate/*"],
    )
    watch.start()
    # Only now, so that what runs at import is seen.
    import candidate

    from ..execution.mistakes import CandidateMistake
    from ..findings.found import crash_reason
    from ..language.text import parse
    from ..sides.pulse import PULSE, shared
    from .replay import candidate_files, replay

    versions = [candidate.get(name) for name in arguments[3:]]
    # The first program runs twice: what a process keeps from then on is met both absent and
    # there, however many programs and processes there are.
    again = versions
    troubled: dict[str, str] = {}
    PULSE.attach(shared(int(arguments[1])))
    for line in sys.stdin:
        name, text = json.loads(line)
        Path(f"{arguments[2]}.at").write_text(name)
        watch.switch_context(name)
        try:
            for version in again + versions:
                replay(version, parse(text))
        except CandidateMistake as error:
            print(json.dumps({"mistake": str(error)}))
            return 0
        except Exception as error:
            troubled[name] = crash_reason(error)
        again = []
    watch.stop()
    watch.save()
    print(json.dumps({"files": [str(path) for path in candidate_files(versions)], "troubled": troubled}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
