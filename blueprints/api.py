"""The JSON interface: programs with a key take orders in, read them, and follow what changes (docs/api.md, openapi.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from flask import Blueprint, current_app, request, url_for
from werkzeug.exceptions import BadRequest, HTTPException, UnsupportedMediaType
from werkzeug.wrappers import Response

from db import reading
from errors import N_, BadInput, Malformed, Refusal, Throttled
from services import api_orders, api_reading, incoming, orders
from services.api_reading import Unfit
from web import MEGABYTE, TITLES, gateway, gettext, say
from web_access import by_token, program
from web_budget import Budget
from web_problem import problem

blueprint = Blueprint("api", __name__)

DESCRIPTION = Path(__file__).with_name("openapi.json").read_text(encoding="utf-8")
A_MINUTE = 600


def _answer(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


@blueprint.errorhandler(Refusal)
def _refused(refusal: Refusal) -> Response:
    """A rule's no, with the fields it is about."""
    errors = [(refusal.field, say(refusal))] if refusal.field else []
    if isinstance(refusal, Unfit):
        errors = [(field, say(why)) for field, why in refusal.problems]
    title = gettext(TITLES.get(refusal.status, N_("Something went wrong")))
    answer = problem(refusal.status, title, say(refusal), errors)
    wait = refusal.values.get("seconds")
    if isinstance(wait, int):
        answer.headers["Retry-After"] = str(wait)
    return answer


@blueprint.before_request
def _count() -> None:
    """So many requests a minute for each key."""
    budget = current_app.extensions.setdefault("api_budget", Budget(A_MINUTE))
    wait = budget.spend(str(program().token_id))
    if wait:
        raise Throttled(N_("Too many requests. Wait %(seconds)s seconds."), seconds=wait)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _body() -> Any:
    """The JSON that was sent. Raises UnsupportedMediaType, RequestEntityTooLarge, Malformed."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    request.max_content_length = MEGABYTE
    try:
        return json.loads(request.get_data(cache=False), object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except HTTPException:
        raise
    except (ValueError, RecursionError):
        raise Malformed(N_("The body is not JSON, or a name stands twice in it.")) from None


@blueprint.get("/api/openapi.json")
@by_token
def description() -> Response:
    """The description of the interface, as OpenAPI."""
    return Response(DESCRIPTION, content_type="application/json")


@blueprint.post("/api/orders")
@by_token
def create() -> Response:
    """Take an order: 201 where it is new, 200 where the same key has brought it before."""
    wish = api_reading.order(_body())
    order_id, made = api_orders.create(gateway(), program().actor, wish)
    with reading() as looked:
        order = orders.get(looked, order_id)
        told = api_orders.whole(looked, order)
    answer = _answer(told, 201 if made else 200)
    answer.headers["Location"] = url_for("api.show", number=told["number"])
    return answer


@blueprint.get("/api/orders")
@by_token
def index() -> Response:
    """The order of a key, or what has changed since an instant or a cursor."""
    key, since = request.args.get("key"), request.args.get("since")
    limit = request.args.get("limit", str(api_orders.MOST))
    if not (limit.isascii() and limit.isdigit() and 0 < len(limit) < 5 and 0 < int(limit) <= api_orders.MOST):
        message = N_("Enter a whole number from %(least)s to %(most)s.")
        raise BadInput(message, field="limit", least="1", most=str(api_orders.MOST))
    with reading() as looked:
        if key is not None:
            return _answer(
                {"orders": [api_orders.summary(api_orders.by_key(looked, key[:200]))], "next": None, "more": False}
            )
        if since is None:
            raise BadInput(N_("Write the time with its offset, or what the last answer gave as next."), field="since")
        return _answer(api_orders.changes(looked, api_orders.read_cursor(since[:100]), int(limit)))


@blueprint.get("/api/orders/<int:number>")
@by_token
def show(number: int) -> Response:
    """An order with its documents and the state of each."""
    with reading() as looked:
        return _answer(api_orders.whole(looked, incoming.by_number(looked, number)))


@blueprint.get("/api/stock/<path:article>")
@by_token
def stock(article: str) -> Response:
    """What there is of an article."""
    if "\0" in article or len(article) > 200:
        raise BadRequest
    with reading() as looked:
        return _answer(api_orders.balance(looked, article))
