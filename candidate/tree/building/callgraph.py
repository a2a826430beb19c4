# SPDX-License-Identifier: GPL-2.0-only
"""The functions of a tree that no program can reach, according to the linker.

Each function has a section of its own. The linker drops and reports those to which no function of the driver refers,
directly or through other functions or tables of pointers. A remaining function may still never run, since the linker
knows no conditions.
"""

import re
from typing import Final

# Prefixes of the functions of native/ that the driver calls.
DRIVER: Final = "{ global: vm_*; host_*; shim_*; co_*; bench_*; local: *; };\n"
_DROPPED: Final = re.compile(r"unused section '\.text\.([^'.]+)[^']*' in file '([^']*)'")


def dropped(said: str) -> dict[str, list[str]]:
    """Return the functions that the linker dropped: object -> names.

    :param said: the output of the linker with ``--print-gc-sections``
    """
    found: dict[str, set[str]] = {}
    for function, file in _DROPPED.findall(said):
        found.setdefault(file, set()).add(function)
    return {file: sorted(functions) for file, functions in found.items()}
