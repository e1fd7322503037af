"""What Klarna and Kustom send by themselves, without login: stored, answered at once, believed only when read back (B16).

The answer is the same whoever asks about whatever, so that nobody learns anything by asking. The token in the address is the
account's own; without it nothing is stored. Source: reference 3.1-3.4; security 52; catalogue row 67.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from flask import Blueprint, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from db import writing
from errors import BadInput
from services import klarna_orders, pushes
from web import from_klarna, gateway
from web_budget import Budget

blueprint = Blueprint("push", __name__)

NAMES = ("klarna_order_id", "kustom_order_id", "order_id", "sid")
"""Under which name a shop may let its push carry the order id: the address is the shop's to write."""
LARGEST_NOTIFICATION = 16_384
A_MINUTE = 600


def _refused(store_id: str) -> Response | None:
    """429 beyond the budget of an address, so that a flood costs next to nothing."""
    budget = current_app.extensions.setdefault("push_budget", Budget(A_MINUTE))
    wait = budget.spend(f"{request.remote_addr} {store_id}"[:200])
    return Response(status=429, headers={"Retry-After": str(wait)}) if wait else None


def _hear(store_id: str, token: str, kind: str, order_id: str, event: str = "") -> None:
    right = hmac.compare_digest(token.encode(), gateway().push_token(store_id).encode())
    try:
        klarna_order_id = klarna_orders.read_id(order_id[:100])
    except BadInput:
        return
    if not right:
        return
    with writing() as session:
        account = pushes.account_of(session, store_id)
        if account is not None:
            pushes.hear(session, account, kind, klarna_order_id, event)


@blueprint.post("/push/<store_id>/<token>")
@from_klarna
def order(store_id: str, token: str) -> Response:
    """«Push»: a purchase is complete. The body is never read."""
    refused = _refused(store_id)
    if refused is not None:
        return refused
    found = next((request.args[name] for name in NAMES if name in request.args), "")
    _hear(store_id, token, pushes.ORDER, found)
    return Response(status=204)


@blueprint.post("/push/<store_id>/<token>/notification")
@from_klarna
def notification(store_id: str, token: str) -> Response:
    """Klarna has decided on a purchase it was reviewing. Answered with 200, since only that ends the notifications."""
    refused = _refused(store_id)
    if refused is not None:
        return refused
    said = _said()
    event, found = said.get("event_type"), said.get("order_id")
    if isinstance(found, str) and isinstance(event, str) and event in pushes.EVENTS:
        _hear(store_id, token, pushes.FRAUD, found, event)
    return Response(status=200)


def _said() -> dict[str, Any]:
    request.max_content_length = LARGEST_NOTIFICATION
    try:
        found = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError, RequestEntityTooLarge):
        return {}
    return found if isinstance(found, dict) else {}
