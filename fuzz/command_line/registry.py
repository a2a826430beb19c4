# SPDX-License-Identifier: GPL-2.0-only
"""All commands, and the parser for their arguments."""

import os
from argparse import RawDescriptionHelpFormatter
from importlib import import_module
from typing import Final

from ..distribution import VERSION, form
from . import commands
from .command import EXIT_CODES, Command
from .options import add_json
from .parser import Parser, add_action

# The order in the help; commands not listed here come last.
ORDER: Final = (
    *("list", "demo", "run", "explore", "convert", "fuzz", "gate", "campaign", "status", "report", "known", "minimize"),
    *("promote", "expect", "export", "compare", "hardware", "real", "bench", "build", "corpus", "cover"),
    *("tree", "help"),
)
_ABOUT: Final = """\
Differential fuzzer for KVM/arm64 stage-2 page-table code: random sequences of
guest accesses, host memory management and dirty logging run on two versions of
the kernel code, the reference and the candidate: kernel trees, or ports to
Python. Checkers report what a patch breaks, what it fixes, and what was already
wrong.
"""


def found() -> list[Command]:
    """Return the commands of the modules in `fuzz.command_line.commands`, in the order of the help."""
    files = [file for folder in commands.__path__ for file in os.listdir(folder)]
    names = [file.removesuffix(".py") for file in files if file.endswith(".py") and not file.startswith("_")]
    modules = [import_module(f"{commands.__name__}.{name}") for name in names]
    declared: list[Command] = [module.COMMAND for module in modules]
    return sorted(declared, key=lambda each: (ORDER.index(each.name) if each.name in ORDER else len(ORDER), each.name))


COMMANDS: Final = {each.name: each for each in found()}


def make_parser() -> Parser:
    """Return the parser for all commands."""
    top = Parser(
        "s2fuzz",
        description=_ABOUT,
        epilog=EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"s2fuzz {VERSION} ({form()})")
    parts = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for each in COMMANDS.values():
        made = add_action(parts, each.name, each.summary, each.text(), each.epilog)
        if each.keys:
            add_json(made, each.keys)
        each.add_arguments(made)
    return top
