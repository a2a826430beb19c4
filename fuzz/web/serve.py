# SPDX-License-Identifier: GPL-2.0-only
"""The process that shows a campaign in a browser: a `fuzz.processes.child.Child`, ``fuzz.web.serve FOLDER PORT``.

It listens on the loopback interface only, and answers one request after another: replaying a program for its traces
forks, which is safe only in a process with one thread.
"""

import sys
from contextlib import suppress
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ..campaign.store.log import append_mistake
from ..processes.parent import parent_of
from .application import application, guarded
from .listening import READY

LOOPBACK: Final = "127.0.0.1"
# Seconds that a client may stay silent.
_CLIENT_TIMEOUT: Final = 5.0


class Server(WSGIServer):
    """A server for clients on this machine only.

    :param folder: of the campaign, whose log gets our mistakes
    :raises OSError: the port is not available
    """

    # Length of the queue of clients that wait for the current request.
    request_queue_size = 16

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__((LOOPBACK, port), Handler)
        self.folder = folder

    def server_bind(self) -> None:
        """Bind without looking up the name of the machine, which may be slow."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the current exception, unless the client has disconnected or is silent."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            self.report(error)

    def report(self, error: BaseException) -> None:
        """Write a mistake of ours to the log of the campaign, if possible."""
        with suppress(OSError):
            append_mistake(self.folder, "the server of the pages", error)


class Handler(WSGIRequestHandler):
    """Answers one request, without output on the terminal."""

    timeout = _CLIENT_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def main(arguments: list[str]) -> int:
    """Serve until the parent ends.

    :returns: the exit code if the port is not available
    """
    parent, (folder, port) = parent_of(arguments)
    try:
        server = Server(Path(folder), int(port))
    except OSError as error:
        parent.tell(f"{error.strerror or error}".encode())
        return 1
    with server:
        server.set_app(guarded(application(Path(folder), server.report), server.server_port))
        parent.tell(f"{READY}{server.server_port}".encode())
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
