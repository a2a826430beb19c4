# SPDX-License-Identifier: GPL-2.0-only
"""A process that observes features of programs: ``python -m fuzz.corpus.child PARENT PIPE MEMORY REFERENCE CANDIDATE``.

PARENT is the parent's process number, MEMORY a descriptor for `fuzz.sides.pulse`. An empty line
on descriptor PIPE says that it is ready. Each line on standard input is a JSON list of a digest
and a program's text; the answer is one of the digest, the features (null where our own code
failed) and what went wrong. Ends when its parent does.
"""

import json
import os
import sys

from ..processes.orphans import die_with_parent


def main(arguments: list[str]) -> int:
    """Answer until standard input ends.

    :returns: the exit code
    """
    die_with_parent(int(arguments[0]))

    import candidate

    from ..execution.mistakes import CandidateMistake
    from ..findings.found import crash_reason
    from ..judging.collection import collect_rarely
    from ..judging.differential import Differential
    from ..language.text import parse
    from ..sides.pulse import PULSE, shared

    differential = Differential(candidate.get(arguments[3]), candidate.get(arguments[4]), features=True)
    collect_rarely()
    PULSE.attach(shared(int(arguments[2])))
    pipe = int(arguments[1])
    os.write(pipe, b"\n")
    for line in sys.stdin:
        digest, text = json.loads(line)
        features, trouble = None, ""
        try:
            features = differential.run(parse(text)).features
        except CandidateMistake as error:
            trouble = str(error)
        except Exception as error:
            trouble = crash_reason(error)
        answer = json.dumps([digest, features, trouble]).encode() + b"\n"
        while answer:
            answer = answer[os.write(pipe, answer) :]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
