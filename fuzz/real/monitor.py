# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's monitor: commands of the QEMU Machine Protocol (QMP) and their answers."""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

from .errors import RealError

_CHUNK: Final = 65536
# Seconds between two polls.
_PAUSE: Final = 0.005


class MonitorError(Exception):
    """QEMU refuses a command, or does not answer."""


class Monitor:
    """The monitor of one QEMU.

    :param connection: its end of a socket
    :param patience: timeout for each answer in seconds
    """

    def __init__(self, connection: socket.socket, patience: float) -> None:
        self.connection = connection
        self.patience = patience
        self.connection.settimeout(patience)
        self.rest = b""

    def begin(self) -> None:
        """Negotiate the protocol, before the first command.

        :raises MonitorError: the peer is not QEMU
        """
        self._read()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> Any:
        """Run a command, with ``_`` for ``-`` in argument names; return its answer.

        :raises MonitorError: it is refused or not answered
        """
        request = {"execute": command, "arguments": {key.replace("_", "-"): each for key, each in arguments.items()}}
        self._send(request, [])
        return self._answer(command)

    def pass_file(self, name: str, file: int) -> None:
        """Pass an open file to QEMU under a name.

        :raises MonitorError: it is refused
        """
        self._send({"execute": "getfd", "arguments": {"fdname": name}}, [file])
        self._answer("getfd")

    def share_memory(self) -> None:
        """Exclude memory shared with this process from saving and restoring.

        :raises MonitorError: it is refused
        """
        capabilities = [{"capability": "x-ignore-shared", "state": True}]
        self.ask("migrate-set-capabilities", capabilities=capabilities)

    def wait_for_migration(self) -> None:
        """Wait until the operation started by ``migrate`` or ``migrate-incoming`` is completed.

        :raises MonitorError: it fails, or takes too long
        """
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            status = self.ask("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                break
            time.sleep(_PAUSE)
        raise MonitorError(f"the state of the machine cannot be saved or restored ({status})")

    def _send(self, request: Mapping[str, object], files: list[int]) -> None:
        data = json.dumps(request).encode() + b"\n"
        try:
            socket.send_fds(self.connection, [data], files) if files else self.connection.sendall(data)
        except OSError as error:
            raise MonitorError(f"monitor: {error.strerror or error}") from None

    def _answer(self, command: str) -> Any:
        """Return the next answer, skipping events."""
        while True:
            message = self._read()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise MonitorError(f"{command}: {message['error'].get('desc', 'refused')}")

    def _read(self) -> dict[str, Any]:
        while b"\n" not in self.rest:
            try:
                data = self.connection.recv(_CHUNK)
            except OSError as error:
                raise MonitorError(f"monitor: {error.strerror or error}") from None
            if not data:
                raise MonitorError("the monitor is closed")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise MonitorError(f"monitor: {line[:80]!r} is no answer")
        return message


def monitor_failure(program: str, error: MonitorError) -> RealError:
    """Return the error for a QEMU that does not execute a command."""
    return RealError(f"real: {program}: {error}; use one that runs the machine virt with EL2, such as version 7.2")
