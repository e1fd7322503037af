"""Apps and requests without a socket: what a page costs in process, for Kvitta and for a floor alike."""

from __future__ import annotations

import contextvars
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Flask

from config import Config
from tests.web_client import WebClient

TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


def config_for(url: str, folder: Path) -> Config:
    """Settings of an app in this process."""
    (folder / "credentials.key").write_bytes(bytes(range(32)))
    (folder / "secret.key").write_bytes(bytes(range(32, 64)))
    return Config(
        data_dir=folder,
        database_url=url,
        redis_url=None,
        secret_key=bytes(range(32, 64)),
        secret_key_fallbacks=(),
        credentials_key=bytes(range(32)),
        trusted_hosts=("127.0.0.1", "localhost"),
        proxies=0,
        https=False,
        janitor_in_web=False,
        testing=True,
    )


class Visitor:
    """Somebody who is logged in and asks for the same thing again and again, straight through WSGI."""

    def __init__(self, app: Flask, name: str | None = "clerk") -> None:
        self._app = app
        self._cookie = ""
        if name is not None:
            client = WebClient(app)
            client.log_in(name).arrive()
            found = client._app.get_cookie("kvitta")  # noqa: SLF001 - the browser's own
            self._cookie = f"kvitta={found.value}"

    def asks(
        self, path: str, form: Callable[[], Mapping[str, str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> Callable[[], str]:
        """The request as a work to measure; it gives the page. Whatever is not 200 raises."""
        fetch = self.fetches(path, form, headers)
        return lambda: fetch().decode()

    def fetches(
        self, path: str, form: Callable[[], Mapping[str, str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> Callable[[], bytes]:
        """As ``asks``, for what is no text."""
        path_info, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET" if form is None else "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": path_info,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "HTTP_ACCEPT_LANGUAGE": "sv",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if form is not None:
            environ |= {"CONTENT_TYPE": "application/x-www-form-urlencoded", "HTTP_ORIGIN": "http://localhost"}
        for name, value in (headers or {}).items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value

        def ask() -> bytes:
            sent = dict(environ)
            body = urlencode(form()).encode() if form is not None else b""
            sent["wsgi.input"] = io.BytesIO(body)
            sent["CONTENT_LENGTH"] = str(len(body))
            sent["HTTP_COOKIE"] = self._cookie
            said: list[str] = []

            def start(status: str, headers: list[tuple[str, str]], _info: object = None) -> None:
                said.append(status)
                for name, value in headers:
                    if name == "Set-Cookie" and value.startswith("kvitta="):
                        self._cookie = value.partition(";")[0]

            answer = contextvars.Context().run(self._app.wsgi_app, sent, start)
            page = b"".join(answer)
            if hasattr(answer, "close"):
                answer.close()
            if not said[0].startswith("200"):
                raise AssertionError(f"{path}: {said[0]}\n{page.decode()[:2000]}")
            return page

        return ask


def token_of(page: str) -> str:
    """The CSRF token of a page that was drawn."""
    found = TOKEN.search(page)
    assert found is not None
    return found[1]
