# SPDX-License-Identifier: GPL-2.0-only
"""The process that shows a campaign in a browser: a `fuzz.processes.child.Child`, ``fuzz.web.serve FOLDER PORT``.

It listens on the loopback interface alone, and answers one request after the other: what replays a program for its
traces forks, which only a process with one thread may do.
"""

import sys
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ..processes.parent import parent_of
from .application import application, guarded
from .listening import READY

LOOPBACK: Final = "127.0.0.1"
# Seconds for which somebody who asks may say nothing.
_PATIENCE: Final = 5.0


class Server(WSGIServer):
    """Listens on this machine for this machine.

    :raises OSError: the port cannot be had
    """

    # Whoever asks meanwhile waits here.
    request_queue_size = 16

    def server_bind(self) -> None:
        """Bind, without asking for the name of the machine, which may take its time."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asked has gone."""


class Handler(WSGIRequestHandler):
    """Answers one request; the terminal is somebody else's."""

    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def main(arguments: list[str]) -> int:
    """Serve until the parent ends.

    :returns: the exit code, where the port cannot be had
    """
    parent, (folder, port) = parent_of(arguments)
    try:
        server = Server((LOOPBACK, int(port)), Handler)
    except OSError as error:
        parent.tell(f"{error.strerror or error}".encode())
        return 1
    with server:
        server.set_app(guarded(application(Path(folder)), server.server_port))
        parent.tell(f"{READY}{server.server_port}".encode())
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
