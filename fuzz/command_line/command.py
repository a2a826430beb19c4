# SPDX-License-Identifier: GPL-2.0-only
"""The declaration of a command."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .parser import Parser

CLASSES: Final = """\
classes of findings:
  regression  only the candidate breaks a rule
  divergence  guest or host can see a difference; if a rule decides which side is wrong, it is named
  common      the reference breaks the rule too
  cured       only the reference breaks it

"""
EXIT_CODES: Final = """\
exit codes:
    0  no regression and no divergence
    1  at least one regression or divergence
    2  bad usage or input, or a mistake in the candidate's Python; one line on
       stderr gives the place and a remedy; or not exercised: no program with a
       verdict ran the code in which two kernel trees differ
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict available: the program, or most of several, need something that is
       not modelled; a kernel tree was edited meanwhile; a process cannot be started,
       or is killed from outside; memory runs out
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM; the findings so far are printed
  141  the reader closed the output
"""
# For commands that judge nothing, or whose purpose is to show findings.
DONE: Final = """\
exit codes:
    0  done, regardless of findings
    2  bad usage or input, or a mistake in the candidate's Python; one line on
       stderr gives the place and a remedy
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict available: a program needs something that is not modelled; a process
       cannot be started, or is killed from outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM; completed work is kept
  141  the reader closed the output
"""
# For commands that run no program.
RUNS_NOTHING: Final = """\
exit codes:
    0  done
    2  bad usage or input, or a mistake in a candidate's Python; one line on
       stderr gives the place and a remedy
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
  141  the reader closed the output
"""
# The file that explains the keys of an answer.
KEYS: Final = "fuzz/reports/answers.py"


@dataclass(frozen=True)
class Command:
    """A command, or an action of one: ``corpus add``.

    :param name: the word to type
    :param summary: its line in the help of its parent
    :param description: its help, above the arguments
    :param add_arguments: adds its arguments to its parser, after ``--json``
    :param action: runs it and returns the exit code; raises `fuzz.command_line.messages.BadInputError` and
      `fuzz.command_line.messages.NoVerdictError` for what cannot be done
    :param examples: command lines that can be parsed, shown below the description
    :param epilog: its help, below the arguments
    :param keys: the file that explains the keys of ``--json``; "" if `add_arguments` adds ``--json``, or it has none
    """

    name: str
    summary: str
    description: str
    add_arguments: Callable[[Parser], None]
    action: Callable[[Namespace], int]
    examples: tuple[str, ...] = ()
    epilog: str = EXIT_CODES
    keys: str = KEYS

    def text(self) -> str:
        """Return the description with the examples."""
        if not self.examples:
            return self.description
        head = "example: " if len(self.examples) == 1 else "examples: "
        return f"{self.description}\n{head}" + f"\n{' ' * len(head)}".join(self.examples)
