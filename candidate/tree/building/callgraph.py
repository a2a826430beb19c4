# SPDX-License-Identifier: GPL-2.0-only
"""The functions of a tree that no program can reach, as the linker sees it.

Each function has a section of its own. The linker drops those that no function of the driver refers to,
directly or through others, tables of pointers included, and says which. What remains may still never run: the
linker knows no conditions.
"""

import re
from typing import Final

# Names that Python calls begin so (native/).
DRIVER: Final = "{ global: vm_*; host_*; shim_*; co_*; bench_*; local: *; };\n"
_DROPPED: Final = re.compile(r"unused section '\.text\.([^'.]+)[^']*' in file '([^']*)'")


def dropped(said: str) -> dict[str, list[str]]:
    """Object -> functions that the linker dropped from it.

    :param said: what it prints with ``--print-gc-sections``
    """
    found: dict[str, set[str]] = {}
    for function, file in _DROPPED.findall(said):
        found.setdefault(file, set()).add(function)
    return {file: sorted(functions) for file, functions in found.items()}
