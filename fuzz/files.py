# SPDX-License-Identifier: GPL-2.0-only
"""Atomic file writes: a file is complete or absent. Devices and FIFOs are written to, never replaced."""

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Final, NamedTuple

from .closing import Closing

_numbers: Final = count()
# A name may have 255 bytes. A temporary name holds this many characters of it, of at most four bytes each.
_NAME_PART: Final = 40
# The number of consecutive symbolic links that Linux follows.
_MAX_LINKS: Final = 40
# The number of files that are synced to disk concurrently.
_WAITING: Final = 8


class OutputFile(Closing):
    """A file to be written, checked now and written later, so that a refusal comes before an hour of work.

    * A regular file is replaced as a whole or stays unchanged, even if the machine crashes. Its permissions stay.
    * A symbolic link stays; its target is replaced.
    * A device or a FIFO is opened at once and written to; so is a descriptor of this process, such as ``/dev/stdout``.
    * A FIFO without a reader, a socket and a directory are refused.

    As a context manager, it closes what it opened.

    *opened*: this is not a regular file, and it is open

    :param path: an existing file, or one to create
    :raises OSError: nothing can be written there; ``strerror`` gives the reason
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.fd = -1
        try:
            self._look()
        except ValueError as error:
            # A name with a null byte.
            raise OSError(errno.EINVAL, str(error), self.path) from None

    @property
    def opened(self) -> bool:
        return self.fd >= 0

    def close(self) -> None:
        """Close the descriptor, if one is open."""
        if self.opened:
            os.close(self.fd)
            self.fd = -1

    def probe(self) -> None:
        """Check that a regular file can be written, in the directory that will hold it.

        :raises OSError: it cannot
        """
        if not self.opened:
            temporary, fd = self._temporary(os.path.realpath(self.path))
            os.close(fd)
            os.unlink(temporary)

    def write(self, content: str | bytes) -> None:
        """Write the file.

        :param content: text is written in UTF-8
        :raises OSError: it cannot be written
        """
        data = utf8(content) if isinstance(content, str) else content
        if not self.opened:
            # Something else may have taken its place since.
            self._look()
        if self.opened:
            _write_all(self.fd, data)
        else:
            self._replace(data)

    def _look(self) -> None:
        """Open a device, a FIFO or a descriptor, and refuse a file that cannot be written.

        :raises OSError: the file cannot be written
        :raises ValueError: the path is not a valid file name
        """
        own = _descriptor(self.path)
        if own is not None:
            if fcntl.fcntl(own, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, "open for reading only", self.path)
            self.fd = os.dup(own)
            return
        if not self.path:
            raise OSError(errno.ENOENT, "an empty name", self.path)
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError:
            if os.path.basename(self.path) in ("", os.curdir, os.pardir):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), self.path) from None
            return
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
        if stat.S_ISSOCK(mode):
            raise OSError(errno.ENXIO, "a socket", self.path)
        try:
            # Without O_NONBLOCK, opening a FIFO waits for a reader.
            fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO and stat.S_ISFIFO(mode):
                raise OSError(errno.ENXIO, "a FIFO that nobody reads", self.path) from None
            raise
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
        else:
            os.set_blocking(fd, True)
            self.fd = fd

    def _temporary(self, target: str) -> tuple[str, int]:
        """Create a temporary file beside a target.

        :returns: its name and its descriptor
        :raises OSError: it cannot be created
        """
        folder, name = os.path.split(target)
        while True:
            path = os.path.join(folder, f".{name[:_NAME_PART]}.{os.getpid()}-{next(_numbers)}.tmp")
            with suppress(FileExistsError):
                return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def _replace(self, data: bytes) -> None:
        """Replace a regular file atomically.

        :raises OSError: it cannot be written; the previous file stays
        """
        target = os.path.realpath(self.path)
        temporary = self.new(target, data)
        _rename(temporary, target)
        sync_folder(os.path.dirname(target))

    def new(self, target: str, data: bytes) -> str:
        """Write the future content of a regular file to a temporary file and sync it to disk.

        :returns: the name of the temporary file
        :raises OSError: it cannot be written; no temporary file is left
        """
        temporary, fd = self._temporary(target)
        try:
            try:
                with suppress(FileNotFoundError):
                    before = os.stat(target)
                    with suppress(PermissionError):
                        os.fchown(fd, before.st_uid, before.st_gid)
                    with suppress(PermissionError):
                        os.fchmod(fd, before.st_mode & 0o777)
                _write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
        except BaseException:
            _forget(temporary)
            raise
        return temporary


def utf8(text: str) -> bytes:
    """Encode a text that may contain file names, in which undecodable bytes are surrogates.

    :returns: valid UTF-8; undecodable bytes of a name appear as ``\\xff``
    """
    data = text.encode(errors="surrogateescape")
    return data.decode(errors="backslashreplace").encode()


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file as `OutputFile` does: atomically, unless it is a device or the like.

    :param content: text is written in UTF-8
    :raises OSError: it cannot be written
    """
    with OutputFile(path) as output:
        output.write(content)


def write_together(files: Sequence[tuple[str | os.PathLike[str], str]]) -> list[OSError | None]:
    """Write files in order, each as `write_atomically` does, but waiting for the disk only once.

    If one cannot be written, the others still are.

    :param files: name and content of each file
    :returns: for each file, the error that prevented writing it, or None
    """
    # Imported here because few commands write several files.
    from concurrent.futures import ThreadPoolExecutor

    made: list[_New] = []

    def prepare(file: tuple[str | os.PathLike[str], str]) -> _New:
        new = _prepare(*file)
        made.append(new)
        return new

    try:
        with ThreadPoolExecutor(_WAITING) as pool:
            prepared = list(pool.map(prepare, files))
        errors = [_place(new) for new in prepared]
    except BaseException:
        for new in made:
            _forget(new.temporary)
        raise
    for folder in sorted({os.path.dirname(new.target) for new in prepared if new.target}):
        sync_folder(folder)
    return errors


class _New(NamedTuple):
    """A file whose content is written but whose name is pending, or the error that prevented it.

    :param temporary: its temporary name; "" if nothing is left to do
    :param target: its final name
    """

    temporary: str = ""
    target: str = ""
    error: OSError | None = None


def _prepare(path: str | os.PathLike[str], text: str) -> _New:
    """Write a file up to the final rename; write a device or the like directly."""
    try:
        with OutputFile(path) as output:
            if output.opened:
                output.write(text)
                return _New()
            target = os.path.realpath(path)
            return _New(output.new(target, utf8(text)), target)
    except OSError as error:
        return _New(error=error)


def _place(new: _New) -> OSError | None:
    """Rename a prepared file to its final name; return the error if it could not be written."""
    try:
        if new.temporary:
            _rename(new.temporary, new.target)
    except OSError as error:
        return error
    return new.error


def _rename(temporary: str, target: str) -> None:
    """Replace one file by another.

    :raises OSError: it cannot be renamed; the temporary file is removed
    """
    try:
        os.replace(temporary, target)
    except BaseException:
        _forget(temporary)
        raise


def _forget(temporary: str) -> None:
    with suppress(OSError):
        os.unlink(temporary)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make names created in a folder survive a crash of the machine, where the file system supports that."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _descriptor(path: str) -> int | None:
    """Return the descriptor of this process that a path such as ``/dev/stdout`` or ``/dev/fd/3`` names.

    Replacing a regular file behind such a descriptor would detach it from the processes that have it open, and lose its
    contents.
    """
    own = (f"/proc/{os.getpid()}/fd", f"/proc/{os.getpid()}/task/{os.getpid()}/fd")
    for _ in range(_MAX_LINKS):
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder)
        if folder in own and name.isascii() and name.isdigit():
            return int(name)
        path = os.path.join(folder, name)
        if not os.path.islink(path):
            return None
        path = os.path.join(folder, os.readlink(path))
    return None
