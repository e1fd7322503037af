"""How the JSON interface says no: application/problem+json (RFC 9457), each fault with the name of its field."""

from __future__ import annotations

import json
from collections.abc import Sequence

from flask import g, request
from werkzeug.wrappers import Response

API = "/api/"


def speaks_json() -> bool:
    """Whether a program asks, so that every answer is JSON, also where there is nothing at the address."""
    return request.path.startswith(API)


def problem(status: int, title: str, detail: str, errors: Sequence[tuple[str, str]] = ()) -> Response:
    """A no: ``errors`` are fields and sentences, ``request_id`` is what the log calls the request."""
    said: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": g.get("request_id", ""),
    }
    if errors:
        said["errors"] = [{"field": field, "message": message} for field, message in errors]
    answer = Response(json.dumps(said), status, content_type="application/problem+json")
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
