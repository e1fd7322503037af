"""The pages at /_sandbox/ that stand in for Klarna's Merchant Portal. They work without JavaScript."""

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from klarna_sandbox import acts, settlement_operations, settlements
from klarna_sandbox.admin import admin
from klarna_sandbox.by_hand import act_by_hand, change_clock, find_orders, make_merchant, next_payout_rows, state_of
from klarna_sandbox.callbacks import Courier
from klarna_sandbox.calls import OPERATIONS
from klarna_sandbox.clock import stamp
from klarna_sandbox.desk import courier, seat, world
from klarna_sandbox.faults import ANY, KINDS, READS, WRITES
from klarna_sandbox.records import Doc, Payout
from klarna_sandbox.refusals import Misuse, Refused
from klarna_sandbox.reports import major, minor
from klarna_sandbox.switches import SWITCHES
from klarna_sandbox.world import World

PAGE = 50
LOG_PAGE = 200
STATUSES = ("AUTHORIZED", "PART_CAPTURED", "CAPTURED", "CANCELLED", "EXPIRED", "CLOSED")
METHODS = ("INVOICE", "INVOICE_BUSINESS", "ACCOUNT", "FIXED_AMOUNT", "PAY_IN_X", "DIRECT_DEBIT", "CARD", "SWISH")
STEPS = (("1 minute", 60), ("1 hour", 3600), ("1 day", 86_400), ("1 week", 604_800), ("30 days", 2_592_000))
LOCAL = ("127.0.0.1", "localhost", "::1")


def _form(*names: str) -> Doc:
    """Those fields of the form that hold something."""
    return {name: value for name in names if (value := request.form.get(name, "").strip())}


def _whole(name: str) -> int | None:
    text = request.form.get(name, "").strip()
    if text and not (text.isascii() and text.isdigit()):
        raise Misuse(f"{text} is not a whole number.")
    return int(text) if text else None


def _said(where: str, sentence: str) -> AnyResponse:
    from_here = redirect(where, 303)
    from_here.set_cookie(
        "said",
        sentence.encode("ascii", "replace").decode(),
        max_age=20,
        path="/_sandbox",
        httponly=True,
        samesite="Lax",
    )
    return from_here


def _sftp_name(payout: Payout) -> str:
    day = payout.payout_date[:10].replace("-", "")
    return f"{payout.payment_reference}_{day}T000000_0.csv"


portal = Blueprint("portal", __name__, url_prefix="/_sandbox")


def page(template: str, status: int = 200, **shown: Any) -> tuple[str, int]:
    now = stamp(world.clock.now())
    frame = {
        "now": now,
        "frozen": world.clock.frozen,
        "path": request.path,
        "said": request.cookies.get("said", ""),
    }
    return render_template(template, **frame, **shown), status


@portal.after_request
def say_once(response: Response) -> Response:
    if request.method == "GET" and "said" in request.cookies:
        response.delete_cookie("said", path="/_sandbox")
    return response


@portal.errorhandler(Refused)
def refused(error: Refused) -> tuple[str, int]:
    return page("refused.html", 409, title=error.code, sentence=" ".join(error.messages))


@portal.errorhandler(Misuse)
@portal.errorhandler(ValueError)
def misused(error: Exception) -> tuple[str, int]:
    return page("refused.html", 400, title="That did not work", sentence=str(error))


@portal.get("/")
def orders() -> tuple[str, int]:
    words, chosen, number = (
        request.args.get("q", ""),
        request.args.get("status", ""),
        request.args.get("page", 1, int),
    )
    mid = request.args.get("mid", "")
    with world.working() as now:
        found = find_orders(world, words, mid or None, chosen or None)
        shown = found[max(number - 1, 0) * PAGE : max(number, 1) * PAGE]
        for order in shown:
            acts.age(world, order, now)
        return page(
            "orders.html", orders=shown, total=len(found), words=words, chosen=chosen, mid=mid, number=number,
            more=number * PAGE < len(found), statuses=STATUSES, merchants=list(world.merchants.values()), methods=METHODS,
        )  # fmt: skip


@portal.post("/orders")
def seed() -> AnyResponse:
    wish = _form("merchant_reference1", "initial_payment_method", "fraud_status", "purchase_currency", "order_id")
    if amount := request.form.get("amount", "").strip():
        wish["order_amount"] = minor(amount)
    urls = _form("push", "notification")
    with world.working():
        merchant = world.find_merchant(request.form.get("mid") or None)
        order = acts.seed(world, merchant, {**wish, "merchant_urls": urls})
    return _said(f"/_sandbox/orders/{order.order_id}", "The order was placed.")


@portal.get("/orders/<order_id>")
def order(order_id: str) -> tuple[str, int]:
    with world.working() as now:
        if order_id not in world.orders:
            return page("refused.html", 404, title="Not found", sentence=f"There is no order {order_id}.")
        found = acts.age(world, world.find_order(order_id), now)
        return page("order.html", order=found, state=state_of(world, found), frauds=acts.FRAUD)


@portal.post("/orders/<order_id>/<act>")
def by_hand(order_id: str, act: str) -> AnyResponse:
    wish = _form("reference", "description", "status", "at", "category")
    for name in ("amount", "fee"):
        if text := request.form.get(name, "").strip():
            wish[name] = minor(text)
    wish["protected"] = "protected" in request.form
    with world.working():
        act_by_hand(world, world.find_order(order_id), act, wish)
    return _said(f"/_sandbox/orders/{order_id}", f"Done: {act}.")


@portal.get("/payouts")
def payouts() -> tuple[str, int]:
    with world.working():
        settlements.pay_scheduled(world)
        made = list(reversed(world.payouts.values()))
        waiting = [
            (
                mid,
                currency,
                len(rows),
                settlements.totals(list(rows.values()), world.merchants[mid].debts.get(currency, 0)),
            )
            for (mid, currency), rows in world.unpaid.items()
            if rows
        ]
        merchants = list(world.merchants.values())
        nexts = {each.mid: stamp(settlements.next_payout_time(world, each, world.clock.now())) for each in merchants}
        return page("payouts.html", payouts=made, waiting=waiting, merchants=merchants, nexts=nexts)


@portal.post("/payouts")
def pay_out() -> AnyResponse:
    with world.working():
        made = settlements.pay_now(world, request.form.get("mid") or None)
    names = ", ".join(each.payment_reference for each in made)
    return _said("/_sandbox/payouts", f"Paid out: {names}." if made else "There was nothing to pay out.")


@portal.post("/payouts/next")
def next_payout() -> AnyResponse:
    row = _form("type", "detailed_type", "currency", "order_id", "capture_id", "comment")
    row["amount"] = minor(request.form.get("amount", ""))
    if vat := request.form.get("vat_amount", "").strip():
        row["vat_amount"] = minor(vat)
    with world.working():
        next_payout_rows(world, world.find_merchant(request.form.get("mid") or None), {"rows": [row]})
    return _said("/_sandbox/payouts", "The row is in the next payout.")


@portal.get("/payouts/<reference>")
def payout(reference: str) -> tuple[str, int]:
    with world.working():
        found = world.payouts.get(reference)
        if found is None:
            return page("refused.html", 404, title="Not found", sentence=f"There is no payout {reference}.")
        rows = [world.rows[number] for number in found.rows]
        return page("payout.html", payout=found, rows=rows, sftp_name=_sftp_name(found))


@portal.get("/payouts/<reference>/<name>")
def report(reference: str, name: str) -> Response | tuple[str, int]:
    with world.working():
        found = world.payouts.get(reference)
        names = (f"settlement.{reference}.csv", _sftp_name(found) if found else "", f"settlement.{reference}.pdf")
        if found is None or name not in names:
            return page("refused.html", 404, title="Not found", sentence=f"There is no report {name}.")
        if name.endswith(".pdf"):
            content, kind = settlement_operations.payout_page(found), "application/pdf"
        else:
            content, kind = settlement_operations.payout_report(world, found), "text/csv; charset=utf-8"
    return Response(content, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@portal.get("/controls")
def controls() -> tuple[str, int]:
    with world.working():
        operations = [ANY, READS, WRITES, *sorted(OPERATIONS)]
        return page(
            "controls.html", faults=world.faults.waiting, kinds=KINDS.values(), operations=operations, steps=STEPS,
            switches=SWITCHES.values(), values=world.switches.as_doc(),
        )  # fmt: skip


@portal.post("/clock")
def clock() -> AnyResponse:
    wish: Doc = _form("set")
    if step := request.form.get("step"):
        wish["move_seconds"] = step
    if request.form.get("freeze"):
        wish["freeze"] = request.form["freeze"] == "yes"
    with world.working():
        change_clock(world, wish)
    return _said(f"/_sandbox/{request.form.get('back', 'controls')}", "The clock was set.")


@portal.post("/faults")
def add_fault() -> AnyResponse:
    wish: Doc = _form("kind", "operation", "order_id", "error_code", "messages")
    for name in ("times", "skip", "seconds", "status", "retry_after"):
        if (number := _whole(name)) is not None:
            wish[name] = number
    with world.working():
        world.faults.add(OPERATIONS, **wish)
        world.save_faults()
    return _said("/_sandbox/controls#faults", "The fault waits for its calls.")


@portal.post("/faults/clear")
def clear_faults() -> AnyResponse:
    with world.working():
        if (number := _whole("number")) is not None:
            world.faults.remove(number)
        else:
            world.faults.clear()
            world.hang_releases += 1
        world.save_faults()
    return _said("/_sandbox/controls#faults", "Taken back.")


@portal.post("/switches")
def switches() -> AnyResponse:
    with world.working():
        for name in SWITCHES:
            if name in request.form:
                world.switches.set(name, request.form[name])
        world.save_setting("switches", world.switches.as_doc())
    return _said("/_sandbox/controls#switches", "The switches are set.")


@portal.get("/log")
def log() -> tuple[str, int]:
    changed = "changed" in request.args
    with world.working():
        entries = [each for each in reversed(world.log) if each.changed or not changed][:LOG_PAGE]
        warnings = list(reversed(world.warnings))[:LOG_PAGE]
        pushes = list(reversed(world.callbacks.values()))[:LOG_PAGE]
        return page("log.html", entries=entries, warnings=warnings, callbacks=pushes, changed=changed)


@portal.post("/log/clear")
def clear_log() -> AnyResponse:
    with world.working():
        world.clear_log()
        world.clear_warnings()
    return _said("/_sandbox/log", "Log and warnings are empty.")


@portal.post("/callbacks")
def deliver() -> AnyResponse:
    return _said("/_sandbox/log#callbacks", f"Callbacks sent: {len(courier.deliver())}.")


@portal.post("/merchants")
def add_merchant() -> AnyResponse:
    wish = _form("mid", "name", "username", "password", "api_key", "provider")
    with world.working():
        make_merchant(world, wish)
    return _said("/_sandbox/payouts#accounts", "The account is there.")


def create_pages(its_world: World, its_courier: Courier) -> Flask:
    """The Flask application behind /_sandbox/. It answers callers on this machine only, and no other site's forms."""
    app = Flask(__name__, static_url_path="/_sandbox/static")
    app.jinja_env.filters["major"] = major
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    seat(app, its_world, its_courier)
    app.register_blueprint(admin)
    app.register_blueprint(portal)

    @app.get("/")
    def root() -> AnyResponse:
        return redirect("/_sandbox/")

    @app.before_request
    def only_from_here() -> tuple[str, int] | None:
        if urlsplit(f"//{request.host}").hostname not in LOCAL:
            return "This sandbox answers on loopback only.\n", 403
        origin = request.headers.get("Origin")
        if request.method != "GET" and origin and urlsplit(origin).netloc != request.host:
            return "This form belongs to another site.\n", 403
        return None

    @app.after_request
    def guard(response: Response) -> Response:
        policy = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app
