# SPDX-License-Identifier: GPL-2.0-only
"""``python -m fuzz.findings.replay_server``: judges programs, each in a process of its own.

What it imports takes most of a second, so it does so once, runs no program
itself, and forks for each. Requests and answers are lines of JSON on stdin and
stdout; `fuzz.findings.replay` is the other end. It ends when stdin does, and
with its parent.
"""

import json
import os
import signal
import sys
from typing import Any

import candidate

from ..execution.mistakes import CandidateMistake
from ..judging.differential import Differential
from ..language.text import parse
from ..orphans import die_with_parent
from .found import CRASH, crash_reason, crash_signature


def judge(request: dict[str, Any]) -> dict[str, Any]:
    """What the program of a request shows.

    :returns: ``shown``: kind, signature, reason, operation of each finding; or ``mistake``: the candidate's Python
        has one
    """
    try:
        versions = candidate.get(request["reference"]), candidate.get(request["candidate"])
        verdict = Differential(*versions).run(parse(request["program"]))
    except CandidateMistake as error:
        return {"mistake": str(error)}
    except Exception as error:
        return {"shown": [(CRASH, crash_signature(error), crash_reason(error), -1)]}
    return {"shown": [(each.kind, each.signature, each.reason, each.at) for each in verdict.findings]}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request: that of `judge`, or ``signal`` or ``exit`` where the process gave none."""
    server = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            die_with_parent(server)
            # Not caught: it ends compiled loops too, which see no Python signal handlers.
            signal.setitimer(signal.ITIMER_REAL, request["seconds"])
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(json.dumps(judge(request)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    if not data:
        return {"exit": os.waitstatus_to_exitcode(status)}
    found: dict[str, Any] = json.loads(data)
    return found


def serve() -> None:
    """Answer requests until there are no more."""
    # Ctrl-C is for whoever asked.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
