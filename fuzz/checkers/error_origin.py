# SPDX-License-Identifier: GPL-2.0-only
"""The origin of an error in a compiled tree: the lines that name the error and ran, as parts of a finding."""

from typing import Final

from reference.services.errors import errno_text

from .places import BY, CALL, SAME

# Maximum number of lines to name.
_NAMED: Final = 4


def origin_of(places: list[str], error: int, entry: str) -> tuple[str, str]:
    """Return the lines that may have made an error, as the end of a reason, and the place of a finding.

    Only if there is one line, it is the place.

    :param places: the lines that name the error and ran in this operation, as places without calls
    :param error: the error, negated
    :param entry: the function that returned it to its caller
    """
    if not places:
        return "", ""
    name = errno_text(error)
    if len(places) == 1:
        function = places[0].partition(" ")[0]
        calls = [entry] if function == entry else [entry, SAME, function]
        return f"; the only line with {name} that ran is in {function}()", f"{places[0]}{BY}{CALL.join(calls)}"
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return f"; lines with {name} that ran: {', '.join(places[:_NAMED])}{more}", ""
