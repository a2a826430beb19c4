# SPDX-License-Identifier: GPL-2.0-only
"""All engines: this table holds every difference between engines, and no other code compares their names.

The command line uses it before it checks our packages, so this module imports only the standard library.
docs/how-to/engine.md describes what else an engine needs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ..distribution import how_to_install

if TYPE_CHECKING:
    from .unit_run import UnitRun


@dataclass(frozen=True, slots=True)
class Engine:
    """A way to choose the programs of a unit.

    Its function judges programs until `fuzz.engines.unit_run.UnitRun.over`. The same unit, bounded by programs,
    judges the same programs everywhere.

    :param name: the name in ``--engine``, reports and databases
    :param driver: ``module:function``, in a module of fuzz.engines that is imported when a unit begins
    :param package: the package that must be installed; "" for none
    :param extra: the extra of the distribution that installs the package
    :param only: the platforms of that package, in parentheses; "" for all
    :param corpus: derives programs from others: a unit without a corpus starts from corpus/seeds/
    :param numbered: a seed determines the program of each number: a unit can begin at any number, and continues with
      the same seed after a process died. Other engines continue with another seed
    :param environment: names and values to set in the environment of its process
    :param public: false for a peer engine, which only measurements use (`fuzz.benchmark.effort`)
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

    def drive(self) -> "Callable[[UnitRun], None]":
        """Return the function that drives a unit.

        :raises ImportError: its package is not installed
        """
        module, function = self.driver.split(":")
        drive: Any = getattr(import_module(f".{module}", __package__), function)
        return drive  # type: ignore[no-any-return]

    def missing(self) -> str:
        """Return one line on why it cannot run here and what to install; "" if it can run."""
        if not self.package or find_spec(self.package) is not None:
            return ""
        install = f"{how_to_install(self.extra)}{self.only and ' '}{self.only}"
        return f"{self.package}: no such package; {install}; or choose another engine"


# The first is the default. Help and benchmarks use this order.
ENGINES: Final = (
    Engine("random", "random_programs:drive", numbered=True),
    Engine("atheris", "atheris_records:drive", "atheris", "atheris", "(Linux on x86_64)", corpus=True),
    Engine("hypothesis", "hypothesis_programs:drive", "hypothesis", "hypothesis"),
    Engine("bare-hypothesis", "bare_hypothesis:drive", "hypothesis", "hypothesis", public=False),
    # Guided by the lines of the kernel code, which only plain Python has.
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
    """Return the engine with a name.

    :raises ValueError: there is none
    """
    for engine in ENGINES:
        if engine.name == name:
            return engine
    raise ValueError(f"no engine {name!r}")
