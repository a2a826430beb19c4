# SPDX-License-Identifier: GPL-2.0-only
"""The figures of two versions as a picture, drawn with matplotlib."""

from pathlib import Path
from typing import Any, Final

from ..distribution import how_to_install
from .table import Rows, columns

# File name suffixes of the formats.
FORMATS: Final = (".svg", ".png")


class PlotError(Exception):
    """A picture cannot be drawn; one line with the reason."""


def plot(workload: str, block: str, names: tuple[str, str], rows: Rows, file: Path) -> None:
    """Write a picture: a panel for each column, over the number of vCPUs.

    :param file: its suffix selects the format
    :raises PlotError: matplotlib is not installed
    :raises OSError: the file cannot be written
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotError(f"matplotlib is missing; {how_to_install('plot')}") from None
    shown = columns(workload)
    figure = Figure(figsize=(4.2 * len(shown), 3.6), layout="constrained")
    panels: Any = figure.subplots(1, len(shown), squeeze=False)
    for panel, (field, head, unit) in zip(panels[0], shown, strict=True):
        for at, (name, mark) in enumerate(zip(names, "os", strict=True)):
            values = [getattr(sides[at], field) / unit for sides in rows.values()]
            panel.plot(list(rows), values, marker=mark, label=name)
        panel.set_title(head)
        panel.set_xlabel("vCPUs")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0][0].legend()
    figure.suptitle(f"{workload} of a {block} block (in steps of the model, not seconds)")
    # No date, so that the same figures make the same file.
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
