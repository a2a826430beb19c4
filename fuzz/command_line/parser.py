# SPDX-License-Identifier: GPL-2.0-only
"""The argument parser: reports an error in one line, with a suggestion."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from ..exit_codes import BAD_INPUT
from ..suggestions import closest, did_you_mean
from .messages import one_line

_CHOICE: Final = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line, with a suggestion."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.given: Sequence[str] = ()
        # Parsers for alternative argument lists, keyed by their first word.
        self.others: dict[str, Parser] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments as argparse does, and keep what was given, for `error`."""
        self.given = list(sys.argv[1:] if args is None else args)
        other = self.others.get(self.given[0]) if self.given else None
        if other is not None:
            return other.parse_known_args(self.given[1:], namespace)
        found, extra = super().parse_known_args(args, namespace)
        commands = any(isinstance(action.choices, dict) for action in self._actions)
        # An unknown option may have taken a word with it.
        if extra and not commands and not any(word.startswith("-") for word in extra):
            self.take(found, extra)
            extra = []
        return found, extra

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # A script whose variable is not set would silently get the default, or every version.
        if action.option_strings and "" in arg_strings:
            raise argparse.ArgumentError(action, "an empty value; give one, or leave the option out")
        return super()._get_values(action, arg_strings)

    def take(self, found: argparse.Namespace, words: list[str]) -> None:
        """Add words that follow options to the last positional list: argparse ends the list at the first option.

        :param found: the namespace with the other words of the list
        :raises SystemExit: the command takes no more words
        """
        places = [action for action in self._actions if not action.option_strings]
        if places and places[-1].nargs in ("+", "*"):
            try:
                more = [self._get_value(places[-1], word) for word in words]
            except argparse.ArgumentError as error:
                self.error(str(error))
            setattr(found, places[-1].dest, [*getattr(found, places[-1].dest), *more])
            return
        names = [str(action.metavar or action.dest) for action in places]
        takes = f"one {names[0]}" if len(names) == 1 else " and ".join(names)
        self.error(
            f"takes {takes}, not {' '.join(words)} as well" if names else f"takes only options, not {' '.join(words)}"
        )

    def add_other(self, name: str, description: str, exit_codes: str) -> "Parser":
        """Add an action to a command that has arguments of its own; ``action`` in the namespace is its name, or "".

        :param exit_codes: the text after the options in the help
        """
        made = Parser(
            f"{self.prog} {name}",
            description=description,
            epilog=exit_codes,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.set_defaults(action="")
        made.set_defaults(action=name)
        self.others[name] = made
        return made

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {one_line(message)}{self.hint(message)} (--help shows what is allowed)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse ignores errors of writing, also those of help and version.
        if message and file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)

    def hint(self, message: str) -> str:
        """Suggest a command, an option's value, or an option that may have been meant."""
        choice = _CHOICE.search(message)
        if choice:
            return did_you_mean(choice.group(1), re.findall(r"'([^']*)'", choice.group(2)))
        there = self.options()
        for word in self.given:
            option = word.partition("=")[0]
            if option.startswith("--") and option not in there:
                # Compare without the dashes, which make all options alike.
                near = closest(option[2:], [each[2:] for each in there if each.startswith("--")])
                return f": {option} (did you mean '--{near}'?)" if near else ""
        return ""

    def options(self) -> list[str]:
        """Return all options that are valid for the given arguments, including those of the subcommand."""
        found = [option for action in self._actions for option in action.option_strings]
        for name, parser in self.below().items():
            found += parser.options() if name in self.given else []
        return found

    def below(self) -> "dict[str, Parser]":
        """Return the parsers of the commands, or of a command's actions, by name."""
        choices = [action.choices for action in self._actions if isinstance(action.choices, dict)]
        found = {name: each for there in choices for name, each in there.items() if isinstance(each, Parser)}
        return {**found, **self.others}


def add_action(
    actions: "argparse._SubParsersAction[Parser]", name: str, brief: str, description: str, exit_codes: str
) -> Parser:
    """Add a command, or an action of one.

    :param brief: its line in the list of commands or actions
    :param exit_codes: the text after the options in the help
    """
    return actions.add_parser(
        name,
        help=brief,
        description=description,
        epilog=exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


class Once(argparse.Action):
    """An option that may be given only once; otherwise the first of two values would be ignored silently."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        given = namespace.__dict__.setdefault("given", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, "given twice; give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)
