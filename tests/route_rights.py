"""What a person needs to come in, for every endpoint. A new route without a row fails tests/test_security.py."""

from __future__ import annotations

from rights import Right

OPEN = "open to all"
PUSH = "Klarna's push"

ROUTES: dict[str, Right | str] = {
    "deliveries.create": Right.WORK,
    "deliveries.new": Right.WORK,
    "login.choose": OPEN,
    "login.confirm": Right.READ,
    "login.confirm_now": Right.READ,
    "login.enter": OPEN,
    "login.form": OPEN,
    "login.language": OPEN,
    "login.out": Right.READ,
    "login.set_up": OPEN,
    "orders.export": Right.READ,
    "orders.index": Right.READ,
    "orders.look": Right.WORK,
    "orders.show": Right.READ,
    "start.health": OPEN,
    "start.index": Right.READ,
    "users.active": Right.ADMINISTER,
    "users.end": Right.READ,
    "users.index": Right.ADMINISTER,
    "users.invite": Right.ADMINISTER,
    "users.mine": Right.READ,
    "users.new": Right.ADMINISTER,
    "users.password": Right.READ,
    "users.roles": Right.ADMINISTER,
    "users.show": Right.ADMINISTER,
}
