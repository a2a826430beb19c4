# SPDX-License-Identifier: GPL-2.0-only
"""All engines: everything that differs between them stands here, and nobody compares their names.

The command line asks before anything of ours is checked, so this imports the standard library alone.
docs/how-to/engine.md says what else an engine needs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ..distribution import how_to_install

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True, slots=True)
class Engine:
    """A way to choose the programs of a session.

    Its function judges programs until `fuzz.engines.session.Session.over`. The same unit, bounded by programs,
    judges the same programs everywhere.

    :param name: what ``--engine`` takes, and reports and databases have
    :param driver: ``module:function``, in a module of fuzz.engines that is imported when a session begins
    :param package: the package that must be installed; "" for none
    :param extra: what installs it: an extra of the distribution
    :param only: where there is such a package, in parentheses; "" for everywhere
    :param corpus: makes programs of others: a session without a corpus starts from corpus/seeds/
    :param numbered: a seed says which program has which number; a session can begin anywhere, and goes on with the
        same seed where a process died. Others go on with another seed
    :param environment: names and values that its process has in its environment
    :param public: false for a peer: engines are measured by it (`fuzz.benchmark.finding`), nobody fuzzes with it
    """

    name: str
    driver: str
    package: str = ""
    extra: str = ""
    only: str = ""
    corpus: bool = False
    numbered: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    public: bool = True

    def drive(self) -> "Callable[[Session], None]":
        """Return the function that drives a session.

        :raises ImportError: its package is not installed
        """
        module, function = self.driver.split(":")
        drive: Any = getattr(import_module(f".{module}", __package__), function)
        return drive  # type: ignore[no-any-return]

    def missing(self) -> str:
        """Say why it cannot run here: one line that says what to install; "" if it can."""
        if not self.package or find_spec(self.package) is not None:
            return ""
        install = f"{how_to_install(self.extra)}{self.only and ' '}{self.only}"
        return f"{self.package}: no such package; {install}; or choose another engine"


# The first is the default. The order is that of help and of benchmarks.
ENGINES: Final = (
    Engine("random", "random_programs:drive", numbered=True),
    Engine("atheris", "atheris_records:drive", "atheris", "atheris", "(Linux on x86_64)", corpus=True),
    Engine("hypothesis", "hypothesis_programs:drive", "hypothesis", "hypothesis"),
    Engine("bare-hypothesis", "bare_hypothesis:drive", "hypothesis", "hypothesis", public=False),
    # Led by the lines of the kernel code: there are some in plain Python only.
    Engine(
        "bare-atheris",
        "bare_atheris:drive",
        "atheris",
        "atheris",
        "(Linux on x86_64)",
        environment=(("S2FUZZ_PURE", "1"),),
        public=False,
    ),
)
PUBLIC: Final = tuple(engine.name for engine in ENGINES if engine.public)
PEERS: Final = tuple(engine.name for engine in ENGINES if not engine.public)
DEFAULT: Final = PUBLIC[0]


def engine_of(name: str) -> Engine:
    """The engine of a name.

    :raises ValueError: there is none
    """
    for engine in ENGINES:
        if engine.name == name:
            return engine
    raise ValueError(f"no engine {name!r}")
