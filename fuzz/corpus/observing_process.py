# SPDX-License-Identifier: GPL-2.0-only
"""The process that observes features of programs: a `fuzz.processes.child.Child`.

Its arguments are MEMORY REFERENCE CANDIDATE: MEMORY is a descriptor for `fuzz.sides.pulse`. An empty line to the parent
reports that the process is ready. Each line on standard input is a JSON list of a digest and a program's text. The
answer is a JSON list of the fields of `fuzz.corpus.observing.Observed`; there are no features where our own code failed
or where no process of a kernel tree could be started. The process ends when its parent does.
"""

import json
import sys

from ..processes.parent import parent_of


def main(arguments: list[str]) -> int:
    """Answer until standard input ends.

    :returns: the exit code
    """
    parent, (memory, reference, candidate_name) = parent_of(arguments)

    import candidate

    from ..execution.mistakes import CandidateMistakeError
    from ..execution.refusal import is_not_started, unmodelled
    from ..findings.found import crash_reason
    from ..judging.collection import collect_rarely
    from ..judging.differential import Differential
    from ..language.text import parse
    from ..sides.pulse import PULSE, shared

    differential = Differential(candidate.get(reference), candidate.get(candidate_name), features=True)
    collect_rarely()
    PULSE.attach(shared(int(memory)))
    parent.tell(b"")
    for line in sys.stdin:
        digest, text = json.loads(line)
        features, trouble, lasting = None, "", True
        try:
            verdict = differential.run(parse(text))
            if is_not_started(verdict.refused):
                trouble, lasting = verdict.refused, False
            elif verdict.refused:
                trouble = f"no verdict: {unmodelled(verdict.refused)}"
            else:
                features = verdict.features
        except CandidateMistakeError as error:
            trouble = str(error)
        except Exception as error:
            trouble = crash_reason(error)
        parent.tell(json.dumps([digest, features, trouble, lasting]).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
