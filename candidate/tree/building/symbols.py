# SPDX-License-Identifier: GPL-2.0-only
"""The symbols that the compiled files need from outside: their classes, and stubs for those without a model.

``candidate/tree/symbols.toml`` lists all of them.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from .compiler import output
from .errors import TreeError
from .plan import NATIVE

FILE: Final = Path(__file__).resolve().parent.parent / "symbols.toml"
MODELLED: Final = "modelled"
LIBRARY: Final = "library"
HARMLESS: Final = "harmless"
ZERO: Final = "zero"
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"
CLASSES: Final = (MODELLED, LIBRARY, HARMLESS, ZERO, REFUSED)

# Size of a zeroed data symbol, large enough for every access of the kernel files.
_ZEROES: Final = 8192
_PAGE: Final = 4096
# Symbols of the compiler's own runtimes.
_RUNTIME: Final = re.compile(r"__(?:asan|ubsan|sanitizer|tsan)_|__ehdr_start$|_GLOBAL_OFFSET_TABLE_$")
_SLOT: Final = re.compile(r"R_X86_64_JUMP_SLOT?\s+\S+\s+([^\s@]+)")
_DEFINED: Final = re.compile(r"^[0-9a-f]+ [A-Z] (\S+)$", re.MULTILINE)
_UNDEFINED: Final = re.compile(r"^\s+[Uw] (\S+)$", re.MULTILINE)
_STRONG: Final = re.compile(r"^\s+U (\S+)$", re.MULTILINE)
# Prefix of the tree's functions that a function of native/ wraps.
_WRAPPED: Final = "real_"
# Declarations for the stubs; shim_unmodelled() is in rt_models.c.
_STUBS_HEAD: Final = """\
long shim_unmodelled(const char *name, void *from);
int mprotect(void *start, unsigned long size, int rights);
"""


@dataclass(frozen=True)
class ListedSymbol:
    """A symbol of the list.

    :param kind: one of `CLASSES`
    :param reason: why it has this class, or what it has in common with others
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class OutsideSymbols:
    """The symbols that the kernel side of a build needs from outside of the tree's files.

    :param kinds: name -> one of `CLASSES`, or `UNKNOWN`
    :param called: the symbols that are called, as far as the linker can tell
    :param lacking: functions through which our own files enter the tree, and which no compiled file of it defines
    """

    kinds: dict[str, str]
    called: frozenset[str]
    lacking: tuple[str, ...]


@cache
def listed() -> dict[str, ListedSymbol]:
    """Return all symbols of the list.

    :raises TreeError: there is a mistake in the list
    """
    try:
        classes = tomllib.loads(FILE.read_text(encoding="utf-8"))
    except OSError as error:
        raise TreeError(f"cannot read {FILE}: {error.strerror or error}") from None
    except ValueError as error:
        # No TOML, or no UTF-8.
        raise TreeError(f"{FILE}: {error}") from None
    found: dict[str, ListedSymbol] = {}
    for kind, groups in classes.items():
        if kind not in CLASSES:
            raise TreeError(f"{FILE}: unknown class {kind}; allowed: {', '.join(CLASSES)}")
        if not isinstance(groups, dict):
            raise TreeError(f"{FILE}: {kind} is not a table; allowed: [{kind}], with reasons and names below it")
        for reason, names in groups.items():
            if not isinstance(names, str):
                raise TreeError(f"{FILE}: {kind}, {reason!r}: not a string; allowed: names separated by spaces")
            for name in names.split():
                if name in found:
                    raise TreeError(f"{FILE}: {name} is listed twice")
                found[name] = ListedSymbol(kind, reason)
    return found


def reason(name: str) -> str:
    """Return the reason why a program that calls *name* has no verdict."""
    symbol = listed().get(name)
    return symbol.reason if symbol else "it is not in the list of symbols"


def outside(
    folder: Path, tree: Sequence[str], mixed: Sequence[str], host: Sequence[str], library: str
) -> OutsideSymbols:
    """Classify the symbols that the kernel side needs.

    :param folder: folder of the build
    :param tree: objects of the tree's files
    :param mixed: objects of our own files that include files of the tree
    :param host: the other objects
    :param library: all of them, linked with symbols missing: its relocations show which symbols are called
    :raises TreeError: binutils are missing, a symbol is listed as modelled and no file of native/ names it, or it is
        listed in another class and native/ defines it
    """
    ours = set(_UNDEFINED.findall(output(["nm", "-u", *mixed], folder)))
    needed = set(_UNDEFINED.findall(output(["nm", "-u", *tree], folder))) | ours
    by_tree = defined_by(tree, folder)
    by_mixed, by_host = defined_by(mixed, folder), defined_by(host, folder)
    kinds: dict[str, str] = {}
    for name in sorted((needed | by_mixed) - by_tree):
        symbol = listed().get(name)
        if name in by_mixed or name in by_host:
            # The list does not have the functions by which the two sides of native/ call each other.
            if symbol and symbol.kind != MODELLED:
                raise TreeError(
                    f"{FILE}: {name} is listed as {symbol.kind}, but a file of {NATIVE} defines it: put it into "
                    f"[{MODELLED}], or remove the definition"
                )
            if symbol:
                kinds[name] = MODELLED
        elif not _RUNTIME.match(name):
            kinds[name] = UNKNOWN if symbol is None else symbol.kind
            if kinds[name] == MODELLED:
                if not _is_named(name):
                    raise TreeError(f"{FILE}: {name} is listed as {MODELLED}, but no file of {NATIVE} defines it")
                # native/ defines it for trees of another form only; that definition would not fit this tree.
                kinds[name] = UNKNOWN
    # A mixed object also needs what its included tree files need. A symbol that native/ names is needed by our code.
    lacking = tuple(name for name in kinds if name in ours and name not in listed() and _is_named(name))
    called = frozenset(_SLOT.findall(output(["readelf", "-rW", library], folder)))
    return OutsideSymbols(kinds, called, lacking)


def missing(folder: Path, tree: Sequence[str], mixed: Sequence[str], host: Sequence[str]) -> dict[str, bool]:
    """Return the symbols that the kernel side needs, and that neither an object nor the list provides.

    :param folder: folder of the build; its objects are not modified yet
    :returns: name -> whether a function of native/ wraps it: that function calls the tree's own by a second name
    """
    ours = output(["nm", "-u", *mixed, *host], folder)
    needed = set(_UNDEFINED.findall(output(["nm", "-u", *tree, *mixed], folder)))
    by_tree, by_us = defined_by(tree, folder), defined_by([*mixed, *host], folder)
    found = {
        name: False
        for name in needed - by_tree - by_us
        if not _RUNTIME.match(name) and (name not in listed() or listed()[name].kind == MODELLED)
    }
    second = {name for name in _UNDEFINED.findall(ours) if name.startswith(_WRAPPED)} - by_tree - by_us
    strong = set(_STRONG.findall(ours))
    for real in second:
        name = real.removeprefix(_WRAPPED)
        if name not in by_tree and (name in needed or real in strong):
            found[name] = True
    return {name: found[name] for name in sorted(found) if not name.startswith(_WRAPPED)}


def own_names(folder: Path, mixed: Sequence[str]) -> list[str]:
    """Return the names of the functions of kvm_main.c that native/ wraps: those to which glue.c gives a second name."""
    names = defined_by(mixed, folder)
    return sorted(name.removeprefix(_WRAPPED) for name in names if name.startswith(_WRAPPED))


def _is_named(name: str) -> bool:
    """Return whether a file of native/ has a name, even if only for some trees or as an argument of a macro."""
    word = re.compile(rf"\b{name}\b")
    return any(word.search(file.read_text(encoding="utf-8")) for file in sorted(NATIVE.glob("*.[ch]")))


def defined_by(objects: Sequence[str], folder: Path) -> set[str]:
    """Return the global symbols that objects define."""
    return set(_DEFINED.findall(output(["nm", "-g", "--defined-only", *objects], folder)))


def stubs(found: OutsideSymbols) -> str:
    """Return the C file that defines the symbols that no other file defines.

    A harmless function returns 0. A refused or unknown function calls `shim_unmodelled`. Unknown data is in
    inaccessible pages.
    """
    text = _STUBS_HEAD
    guarded: list[str] = []
    for name, kind in found.kinds.items():
        if kind == HARMLESS:
            text += f"long {name}(void) {{ return 0; }}\n"
        elif kind == ZERO:
            text += f"char {name}[{_ZEROES}] __attribute__((aligned(64)));\n"
        elif kind == REFUSED or (kind == UNKNOWN and name in found.called):
            text += f'long {name}(void) {{ return shim_unmodelled("{name}", __builtin_return_address(0)); }}\n'
        elif kind == UNKNOWN:
            guarded.append(name)
            text += f"char {name}[{_PAGE}] __attribute__((aligned({_PAGE})));\n"
    text += "struct shim_guard { const char *name, *page; };\n"
    text += "const struct shim_guard shim_guards[] = {\n"
    text += "".join(f'\t{{ "{name}", {name} }},\n' for name in guarded) + "\t{ 0, 0 }\n};\n"
    text += "__attribute__((constructor)) static void guard(void)\n{\n"
    text += f"\tfor (int i = 0; shim_guards[i].name; i++)\n\t\tmprotect((void *)shim_guards[i].page, {_PAGE}, 0);\n}}\n"
    return text
