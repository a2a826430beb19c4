# SPDX-License-Identifier: GPL-2.0-only
"""``python -m fuzz.findings.replay_server``: judges programs, each in a process of its own.

What it imports takes most of a second, so it does so once, runs no program
itself, and forks for each. Requests and answers are lines of JSON on stdin and
stdout; `fuzz.findings.replay` is the other end. It ends when stdin does, and
with its parent.
"""

import json
import signal
import sys
from typing import Any

import candidate

from ..execution.mistakes import CandidateMistake
from ..judging.differential import Differential
from ..judging.forked import Forked, Lost
from ..judging.silence import silent_finding
from ..language.text import parse
from ..processes.orphans import die_with_parent
from ..processes.starting import NoProcessError
from .found import CRASH, crash_reason, crash_signature


def judge(request: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    """What the program of a request shows: kind, signature, reason, operation of each finding.

    :raises CandidateMistake: the Python of a version has one
    """
    try:
        versions = candidate.get(request["reference"]), candidate.get(request["candidate"])
        verdict = Differential(*versions).run(parse(request["program"]))
    except CandidateMistake:
        raise
    except Exception as error:
        return [(CRASH, crash_signature(error), crash_reason(error), -1)]
    return [(each.kind, each.signature, each.reason, each.at) for each in verdict.findings]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request: ``shown``, or why there is none: ``mistake``, ``signal``, ``exit`` or ``lost``.

    Kernel code that does not come back is what the program shows.
    """
    silence = request["silence"]
    with Forked(judge, silence, request["seconds"]) as judging:
        try:
            return {"shown": judging.ask(request)}
        except CandidateMistake as error:
            return {"mistake": str(error)}
        except NoProcessError as error:
            return {"lost": error.strerror, "started": False}
        except Lost as lost:
            if lost.position is not None:
                names = request["reference"], request["candidate"]
                found = silent_finding(lost.position, *names, parse(request["program"]), silence)
                return {"shown": [(found.kind, found.signature, found.reason, found.at)]}
            if lost.status is None:
                return {"lost": f"the process {lost}", "started": True}
            return {"signal": -lost.status} if lost.status < 0 else {"exit": lost.status}


def serve() -> None:
    """Answer requests until there are no more."""
    # Ctrl-C is for whoever asked.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
