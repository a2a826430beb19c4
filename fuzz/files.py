# SPDX-License-Identifier: GPL-2.0-only
"""Files that are there as a whole or not at all."""

import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

_numbers: Final = count()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that is there as a whole or not at all, also after a crash of the machine; replaces an older one.

    :param content: text is written in UTF-8
    :raises OSError: it cannot be written
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let names made in a folder outlast a crash of the machine, where its file system can do that."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
