# SPDX-License-Identifier: GPL-2.0-only
"""The replay server, a `fuzz.processes.child.Child`: it judges each program in a process of its own.

Importing takes most of a second, so the server imports once, runs no program itself, and forks for each program.
Requests and answers are lines of JSON; `fuzz.findings.replay` is the client. The server ends at the end of standard
input, or with its parent.
"""

import json
import signal
import sys
from contextlib import suppress
from dataclasses import astuple
from typing import Any

import candidate
from candidate.tree import TreeError
from reference.compiled.choice import TREE
from reference.stores import writes_once

from ..execution.mistakes import CandidateMistakeError
from ..judging.differential import Differential
from ..judging.forked import CopyLostError, Forked
from ..judging.known import fitting, known_bugs
from ..judging.silence import silent_finding
from ..judging.versions_with_bug import has_bug
from ..language.text import parse
from ..processes.parent import parent_of
from ..processes.starting import NoProcessError
from .found import CRASH, crash_finding
from .replay import OTHER_TREE
from .replay_beside import answers


def judge(request: dict[str, Any]) -> tuple[list[tuple[Any, ...]], str]:
    """Judge the program of a request; return the fields of each finding, and the reason for no verdict, or "".

    :raises CandidateMistakeError: the Python of a version has a mistake
    """
    try:
        versions = candidate.get(request["reference"]), candidate.get(request["candidate"])
        if changed := candidate.other_than(versions, request.get("contents", ())):
            return [(CRASH, OTHER_TREE, f"{changed} is not what was judged before")], ""
        verdict = Differential(*versions).run(parse(request["program"]))
    except CandidateMistakeError:
        raise
    except TreeError as error:
        return [(CRASH, OTHER_TREE, str(error))], ""
    except Exception as error:
        return [astuple(crash_finding(error))], ""
    return [astuple(each) for each in verdict.findings], verdict.refused


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request: ``shown``, or why there is none: ``mistake``, ``signal``, ``exit`` or ``lost``.

    Kernel code that does not return is a finding in ``shown``. ``refused`` may accompany ``shown``: it names what the
    program needs and is not modelled.
    """
    silence = request["silence"]
    with Forked(judge, silence, request["seconds"]) as judging:
        try:
            shown, refused = judging.ask(request)
            return {"shown": shown, "refused": refused} if refused else {"shown": shown}
        except CandidateMistakeError as error:
            return {"mistake": str(error)}
        except NoProcessError as error:
            return {"lost": error.strerror, "started": False}
        except CopyLostError as lost:
            if lost.position is not None:
                names = request["reference"], request["candidate"]
                found = silent_finding(lost.position, *names, parse(request["program"]), lost.seconds)
                return {"shown": [astuple(found)]}
            if lost.status is None:
                return {"lost": f"the process {lost}", "started": True}
            return {"signal": -lost.status} if lost.status < 0 else {"exit": lost.status}


def prepare(request: dict[str, Any]) -> None:
    """Load what does not depend on the program, once for all processes that judge.

    Skip external files and kernel trees: they may have changed, and each process reports what is wrong with them.
    """
    fitting("")
    for name in (request["reference"], request["candidate"]):
        if not candidate.is_file(name) and not name.startswith(TREE):
            with suppress(Exception):
                version = candidate.get(name)
                # Reading sources and inspecting other versions takes longer than most programs.
                writes_once(*version.parts)
                for bug in known_bugs():
                    has_bug(version, bug)


def serve() -> None:
    """Answer requests until there are no more; a batch is answered with indexes, in order of completion."""
    # Ctrl-C is for the client process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, _ = parent_of(sys.argv[1:])
    for line in sys.stdin:
        request = json.loads(line)
        if "requests" in request:
            requests = request["requests"]
            for each in requests:
                prepare(each)
            for numbered in answers(requests, request["beside"], answer):
                parent.tell(json.dumps(numbered).encode())
        else:
            prepare(request)
            parent.tell(json.dumps(answer(request)).encode())


if __name__ == "__main__":
    serve()
