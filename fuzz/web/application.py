# SPDX-License-Identifier: GPL-2.0-only
"""The pages of a campaign, served on this machine: an overview, and each finding with its traces.

The campaign is read again for each request. Nothing in it is changed; mistakes of ours are reported.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import bottle

from candidate.tree import TreeError

from ..campaign.store.database import CampaignError, reading
from ..campaign.view.history import Moment, history
from ..campaign.view.overview import Overview
from ..campaign.view.queries import read
from ..execution.mistakes import CandidateMistakeError
from .page import page

# Host names that a browser on this machine uses; any other name that resolves to it may be DNS rebinding.
HOSTS: Final = ("localhost", "127.0.0.1")
_METHODS: Final = ("GET", "HEAD")
_PLAIN: Final = "text/plain; charset=utf-8"
_POLICY: Final = (
    *("default-src 'none'", "style-src 'unsafe-inline'", "script-src 'unsafe-inline'"),
    *("frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"),
)
# Headers of every response, including refusals.
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "; ".join(_POLICY)),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
Start = Callable[..., Any]
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]


def application(folder: Path, report: Callable[[BaseException], None]) -> Application:
    """Return the pages of a campaign as a WSGI application.

    :param folder: folder of the campaign, which need not exist yet
    :param report: called with a mistake of ours; the client receives only the status
    """
    app: Any = bottle.Bottle()

    def campaign_page(only: str = "") -> str:
        try:
            overview, moments = look(folder)
            text = page(overview, moments, served=True, only=only)
        except CampaignError as error:
            return refusal(503, str(error))
        except (CandidateMistakeError, TreeError) as error:
            return refusal(500, str(error))
        return text or refusal(404, "no such finding: its code may have changed since")

    def refusal(status: int, text: str) -> str:
        bottle.response.status = status
        bottle.response.content_type = _PLAIN
        return f"{text}\n"

    def failed(error: Any) -> str:
        if error.exception is not None:
            report(error.exception)
        bottle.response.content_type = _PLAIN
        return f"{error.status_line}\n"

    app.route("/", callback=campaign_page)
    app.route("/finding/<only>", callback=campaign_page)
    app.default_error_handler = failed
    made: Application = app
    return made


def look(folder: Path) -> tuple[Overview, list[Moment]]:
    """Read the current state of a campaign.

    :raises CampaignError: there is no campaign, or it cannot be read
    """
    with reading(folder) as db:
        return read(db, folder), history(db)


def guarded(app: Application, port: int) -> Application:
    """Return an application that only answers read requests for a local host name, and refuses all others.

    :param port: the port of the server
    """
    allowed = {f"{host}:{port}" for host in HOSTS} | ({*HOSTS} if port == 80 else set())

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            ours = {name for name, _ in _HEADERS}
            return start(status, [each for each in headers if each[0] not in ours] + [*_HEADERS], *more)

        def refuse(status: str, why: str) -> Iterable[bytes]:
            begin(status, [("Content-Type", _PLAIN)])
            return [f"{why}\n".encode()]

        if str(environ.get("HTTP_HOST", "")).lower() not in allowed:
            return refuse("403 Forbidden", f"refused: this page is for http://127.0.0.1:{port}/ alone")
        if environ.get("REQUEST_METHOD") not in _METHODS:
            return refuse("405 Method Not Allowed", "refused: this page is read-only")
        return app(environ, begin)

    return answer
