# SPDX-License-Identifier: GPL-2.0-only
"""Available kernels: fetched ones by version, and a user's own image by its path."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import RealError
from .folder import folder

PART: Final = "kernels"
IMAGE: Final = "vmlinuz"
HELP: Final = "`make real` fetches those that Debian has; --kernel PATH takes an Image of your own"


@dataclass(frozen=True)
class RealKernel:
    """A kernel to boot.

    :param image: the file that QEMU loads
    :param name: for messages: its release, or the path that the user gave
    """

    image: Path
    name: str

    def digest(self) -> str:
        """Return a digest of the image.

        :raises RealError: it cannot be read
        """
        try:
            with open(self.image, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RealError(f"real: {self.image}: {error.strerror}; name a kernel image that can be read") from None


def version_key(release: str) -> list[tuple[int, str]]:
    """Return the sort key of a release, in which numbers compare as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|[a-z]+", release)]


def fetched() -> list[RealKernel]:
    """Return the kernels that were fetched, the newest first."""
    try:
        found = [each for each in folder(PART).iterdir() if (each / IMAGE).is_file() and not each.name.startswith(".")]
    except OSError:
        return []
    return [RealKernel(each / IMAGE, each.name) for each in sorted(found, key=lambda e: version_key(e.name))[::-1]]


def find(wanted: str) -> RealKernel:
    """Return the kernel that a user names.

    :param wanted: the beginning of a release, such as ``6.12``; a path, with a ``/`` in it; "": the newest
    :raises RealError: there is none
    """
    if "/" in wanted or os.path.isfile(wanted):
        path = Path(wanted)
        if not path.is_file():
            wrong = "a folder" if path.is_dir() else "no such file"
            raise RealError(f"real: --kernel {wanted}: {wrong}; name a kernel image, such as arch/arm64/boot/Image")
        return RealKernel(path.resolve(), wanted)
    kernels = fetched()
    for kernel in kernels:
        if not wanted or kernel.name == wanted or re.match(re.escape(wanted) + r"[.+-]", kernel.name):
            return kernel
    there = f"there are: {', '.join(each.name for each in kernels)}" if kernels else f"there is none in {folder(PART)}"
    raise RealError(f"real: no kernel {wanted or 'at hand'}, {there}; {HELP}")


def series(release: str) -> str:
    """Return the version and patch level of a release, such as ``6.12``; "" if it does not begin with them."""
    match = re.match(r"\d+\.\d+", release)
    return match[0] if match else ""
