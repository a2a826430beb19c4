# SPDX-License-Identifier: GPL-2.0-only
"""The server of a campaign:

it serves this machine only, changes nothing, and does not run the hostile text it shows.
"""

import http.client
import io
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fuzz.campaign.campaign import open_campaign
from fuzz.campaign.store.code import digests_of
from fuzz.campaign.store.records import Records
from fuzz.findings.accepted import Accepted
from fuzz.findings.found import file_name
from fuzz.judging.finding import Finding

from ..console import MISSING_CLEAN
from ..processes import wait_for
from .campaigns import SETTINGS, SIGNATURE, Running, family, kill

pytest.importorskip("pygal", reason="pygal is not installed: a campaign is not shown in a browser")
pytest.importorskip("bottle", reason="bottle is not installed: a campaign is not shown in a browser")

from fuzz.web.application import application, guarded
from fuzz.web.listening import CannotServeError, serving
from fuzz.web.serve import Server

HOSTILE = '<script>document.title = "run"</script><img src=x onerror="document.title=1">"\'{{ 7 * 7 }}'
PORT = 8000
NAME = file_name(Finding("regression", SIGNATURE, "")).removesuffix(".s2")
Answer = tuple[str, dict[str, str], str]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Make a campaign with a finding whose signature, reason and comments are hostile text."""
    folder = tmp_path / f"a {HOSTILE.replace('/', '')}"
    with open_campaign(folder, SETTINGS) as (db, _, corpus, _):
        records = Records(db, corpus, SETTINGS, digests_of("original", "rfc-v1"), Accepted())
        records.begin(1)
        add = "INSERT INTO findings VALUES ('regression', ?, 1, 'filed', 2, 1, 'random', 0, 0, ?, ?, 3, '')"
        db.execute(add, (SIGNATURE, f"why {HOSTILE}", "findings/x.s2"))
        db.execute(add, (f"map {HOSTILE}", HOSTILE, f"findings/{HOSTILE.replace('/', '')}.s2"))
        records.end(HOSTILE)
    (folder / "findings" / "x.s2").write_text(f"# at: {HOSTILE}\n# real: {HOSTILE}\n{MISSING_CLEAN}")
    yield folder
    kill(family(folder))


def unexpected(error: BaseException) -> None:
    """Receive a mistake of ours that a test does not expect."""
    raise AssertionError from error


def ask(folder: Path, path: str = "/", host: str = f"127.0.0.1:{PORT}", method: str = "GET") -> Answer:
    """Send a request to the application, without a server."""
    answer: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "HTTP_HOST": host,
        "SERVER_NAME": "x",
        "SERVER_PORT": str(PORT),
        "SERVER_PROTOCOL": "HTTP/1.0",
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
    }

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> None:
        answer[:] = [status, dict(headers)]

    body = b"".join(guarded(application(folder, unexpected), PORT)(environ, start))
    return answer[0], answer[1], body.decode()


def test_hostile_text_is_shown(folder: Path) -> None:
    for path in ("/", f"/finding/{NAME}"):
        status, headers, text = ask(folder, path)
        assert status == "200 OK"
        assert headers["Content-Type"].startswith("text/html")
        assert text.count("<script") == 1
        assert "<img" not in text
        assert "{{ 7 * 7 }}" in text
        assert "&lt;script&gt;document.title" in text
    # The page of the finding shows the events of both sides.
    assert 'class="trace"' not in ask(folder)[2]
    assert f'href="/finding/{NAME}"' in ask(folder)[2]
    assert re.search(r'class="trace">[^<]*original +rfc-v1', text)
    status, headers, text = ask(folder, f"/finding/{HOSTILE}")
    assert status == "404 Not Found"
    assert headers["Content-Type"].startswith("text/plain")
    assert "<" not in text


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1", "localhost", f"evil.example:{PORT}", f"127.0.0.1.evil.example:{PORT}", "localhost:80"]
)
def test_another_host_is_refused(host: str, folder: Path) -> None:
    """Refuse a foreign name that resolves to this machine: DNS rebinding."""
    status, headers, text = ask(folder, host=host)
    assert status == "403 Forbidden"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert text == f"refused: this page is for http://127.0.0.1:{PORT}/ alone\n"
    assert ask(folder, host=f"LOCALHOST:{PORT}")[0] == "200 OK"


def test_requests_change_nothing(folder: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = contents()
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
        assert ask(folder, method=method)[0] == "405 Method Not Allowed"
    for path in ("/", f"/finding/{NAME}", "/nowhere", "/finding/../campaign.sqlite", "//x"):
        ask(folder, path)
    assert contents() == before


def test_missing_pages_and_campaigns(folder: Path, tmp_path: Path) -> None:
    assert ask(folder, "/nowhere")[0] == "404 Not Found"
    assert ask(folder, "/finding/regression-x")[0] == "404 Not Found"
    status, _, text = ask(tmp_path / "nothing")
    assert status == "503 Service Unavailable"
    assert text.endswith("no campaign; name a directory that `s2fuzz campaign` created\n")


def listeners(port: int) -> list[str]:
    """Return the addresses with a listener on a port, in the kernel's notation."""
    found: list[str] = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.append(address)
    return found


def test_the_server_listens_on_the_loopback_only(folder: Path) -> None:
    child, address = serving(folder, 0)
    with child:
        port = int(address.rstrip("/").rpartition(":")[2])
        assert address == f"http://127.0.0.1:{port}/"
        assert listeners(port) == ["0100007F"]
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"rfc-v1 against original" in answer.read()
        # A client that sends nothing delays others by a few seconds at most.
        with closing(socket.create_connection(("127.0.0.1", port))):
            begun = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/", headers={"Host": "evil.example"})
            assert connection.getresponse().status == 403
            connection.close()
            assert time.monotonic() - begun < 30
        with pytest.raises(CannotServeError, match="Address already in use; use a free port, or 0"):
            serving(folder, port)
    assert listeners(port) == []


def wrong(*_: object, **__: object) -> str:
    raise AssertionError("impossible")


def test_a_mistake_in_a_page_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported = list[BaseException]()
    monkeypatch.setattr("fuzz.web.application.page", wrong)
    monkeypatch.setattr(f"{__name__}.unexpected", reported.append)
    status, headers, text = ask(folder)
    assert status == "500 Internal Server Error"
    assert headers["Content-Type"].startswith("text/plain")
    assert "impossible" not in text
    assert [str(each) for each in reported] == ["impossible"]


@pytest.mark.parametrize("error", [AssertionError("impossible"), ConnectionResetError(), TimeoutError()])
def test_the_log_has_mistakes_of_the_server(error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    before = (folder / "log").read_text()
    monkeypatch.setattr(Server, "finish_request", fail)
    with Server(folder, 0) as server, closing(socket.create_connection(("127.0.0.1", server.server_port))):
        server.handle_request()
    more = (folder / "log").read_text().removeprefix(before)
    if isinstance(error, AssertionError):
        assert "the server of the pages: a mistake of s2fuzz: AssertionError: impossible\n" in more
        assert "test_server.py" in more
    else:
        assert more == ""


def test_a_campaign_is_shown_while_it_runs(tmp_path: Path) -> None:
    running = Running(tmp_path / "shown", "--workers", "1", "--unit-seconds", "1", "--http", "0")
    try:
        wait_for(lambda: "shows the campaign" in running.out.read_text(), "the address")
        (address,) = re.findall(
            r"^s2fuzz: (http://127\.0\.0\.1:\d+/) shows the campaign$", running.out.read_text(), re.M
        )

        def text() -> str:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return str(answer.read().decode())

        wait_for(lambda: ": running" in text(), "a page of the campaign")
        assert running.end(signal.SIGINT) == 130
        running.wait_for_orphans()
        assert listeners(int(address.rstrip("/").rpartition(":")[2])) == []
    finally:
        kill(running.processes())


def test_the_server_ends_with_a_campaign_that_is_killed(tmp_path: Path) -> None:
    running = Running(tmp_path / "killed", "--workers", "1", "--http", "0")
    try:
        wait_for(lambda: family(running.folder, "fuzz.web.serve"), "the server")
        running.end(signal.SIGKILL)
        running.wait_for_orphans()
    finally:
        kill(running.processes())
