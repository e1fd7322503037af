"""Klarna accounts: tried before they are kept, never another store's, never in the wrong books (B15; operations 10, 15.3)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from db import reading, writing
from errors import BadInput, NotAllowed, Refusal, Stale
from klarna_sandbox.control import Control
from models import Audit, Installation, KlarnaAccount, KlarnaOp, Order
from rights import Actor
from services import account_rules, asking, audit, beats, following, janitor, klarna_accounts, operations
from services.account_rules import Credentials, Facts
from services.account_trial import Result
from services.gateway import CREDENTIALS, FAILURES, Gateway, base_url, open_breaker, unseal
from states import DocType
from tests import builders
from tests.conftest import CREDENTIALS_KEY
from tests.threads import in_threads

PASSWORD = "hemligt-lösenord-77"


@pytest.fixture
def store(sandbox: Control) -> Facts:
    """A store that the sandbox knows, as it would be typed."""
    sandbox.merchant("K123456", "K123456_user", PASSWORD)
    return Facts(name="Butiken", store_id="K123456", environment="sandbox", address=sandbox.url)


RIGHT = Credentials("K123456_user", PASSWORD)


def kept() -> list[KlarnaAccount]:
    with reading() as session:
        return list(session.scalars(sa.select(KlarnaAccount)))


def add(klarna: Gateway, admin: Actor, store: Facts) -> int:
    return klarna_accounts.save(klarna, admin, None, store, RIGHT)[0]


@contextmanager
def stand_in(answer: Response) -> Iterator[str]:
    """Somebody else than Klarna behind an address on this machine."""
    server = make_server("127.0.0.1", 0, answer, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


# --- Trying and keeping -------------------------------------------------------------------------------------------------


def test_an_account_is_kept_when_klarna_accepts_it(books: Flask, klarna: Gateway, admin: Actor, store: Facts) -> None:
    """B15: encrypted, tried, and in the log without what opens it."""
    account_id, tried = klarna_accounts.save(klarna, admin, None, store, RIGHT)
    (account,) = kept()
    assert tried and (account.test_result, account.tested_at is not None) == ("accepted", True)
    assert unseal(CREDENTIALS_KEY, account.secret, "K123456") == PASSWORD
    with reading() as session:
        (line,) = audit.listing(session, object=f"klarna_account:{account_id}")
        log = " ".join(session.scalars(sa.select(Audit.detail)))
    assert line.detail["store_id"] == "K123456" and line.detail["credentials"] == "typed"
    assert PASSWORD not in log and "K123456_user" not in log and PASSWORD not in repr(RIGHT)


@pytest.mark.parametrize(
    "credentials", [Credentials("K123456_user", "fel"), Credentials("", "klarna_test_api_fel")], ids=["old", "key"]
)
def test_credentials_that_klarna_refuses_are_not_kept(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, credentials: Credentials
) -> None:
    with pytest.raises(klarna_accounts.Refused) as no:
        klarna_accounts.save(klarna, admin, None, store, credentials)
    assert (no.value.result, no.value.field, no.value.status) == (Result.REFUSED, "password", 422)
    assert kept() == []


def test_a_key_alone_opens_an_account(books: Flask, klarna: Gateway, admin: Actor, sandbox: Control) -> None:
    """Security 53: the newer single key."""
    sandbox.merchant("K222222", api_key="klarna_test_api_abc")
    facts = Facts(name="Ny", store_id="K222222", environment="sandbox", address=sandbox.url)
    klarna_accounts.save(klarna, admin, None, facts, Credentials("", "klarna_test_api_abc"))
    assert kept()[0].username == ""


def test_an_account_that_cannot_be_tried_is_not_kept(books: Flask, klarna: Gateway, admin: Actor, store: Facts) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(klarna_accounts.Refused) as no:
        klarna_accounts.save(klarna, admin, None, replace(store, address=nobody), RIGHT)
    assert no.value.result is Result.NOT_REACHED and kept() == []


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Response("<html>not here</html>", 404, content_type="text/html"), Result.WRONG_PLACE),
        (Response("{}", 200, content_type="application/json"), Result.WRONG_PLACE),
        (Response("<html>shield</html>", 403, content_type="text/html"), Result.WRONG_PLACE),
        (Response("<html>down</html>", 503, content_type="text/html"), Result.UNCLEAR),
        (Response('{"error_code":"TOO_MANY_REQUESTS","error_messages":[]}', 429), Result.UNCLEAR),
        (Response('{"error_code":"PERMISSION_DENIED","error_message":"no"}', 403), Result.REFUSED),
        (Response("<html>who are you</html>", 401, content_type="text/html"), Result.REFUSED),
    ],
    ids=["404 html", "200 empty", "403 html", "503", "429", "403 denied", "401 html"],
)
def test_whoever_answers_otherwise_than_klarna_is_told_apart(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, answer: Response, result: Result
) -> None:
    """Only Klarna knows that there is no such order; a 404 of anybody else accepts nothing."""
    with stand_in(answer) as address, pytest.raises(klarna_accounts.Refused) as no:
        klarna_accounts.save(klarna, admin, None, replace(store, address=address), RIGHT)
    assert no.value.result is result and kept() == []


def test_credentials_of_another_store_are_refused_by_its_orders(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, sandbox: Control
) -> None:
    """They are accepted by Klarna and yet would never find an order of this account."""
    account_id = add(klarna, admin, store)
    with writing() as session:
        builders.an_order(session, sandbox, account=session.get_one(KlarnaAccount, account_id))
    sandbox.merchant("other", "other_user", "annat")
    with pytest.raises(klarna_accounts.Refused) as no:
        klarna_accounts.save(klarna, admin, account_id, store, Credentials("other_user", "annat"), store.fingerprint)
    assert no.value.result is Result.OTHER_STORE
    assert unseal(CREDENTIALS_KEY, kept()[0].secret, "K123456") == PASSWORD


def test_credentials_that_are_paid_to_another_store_are_refused(
    books: Flask, klarna: Gateway, admin: Actor, sandbox: Control
) -> None:
    """Operations 15.3: the merchant id seen in payouts must be the account's."""
    sandbox.merchant("K000009", "butik", PASSWORD)
    bought = sandbox.order(mid="K000009")
    sandbox.portal_capture(bought)
    sandbox.pay_out(mid="K000009")
    typed = Facts(name="Fel", store_id="K000010", environment="sandbox", address=sandbox.url)
    with pytest.raises(klarna_accounts.Refused) as no:
        klarna_accounts.save(klarna, admin, None, typed, Credentials("butik", PASSWORD))
    assert no.value.result is Result.OTHER_STORE and kept() == []
    klarna_accounts.save(klarna, admin, None, replace(typed, store_id="K000009"), Credentials("butik", PASSWORD))


# --- The guard ----------------------------------------------------------------------------------------------------------


def test_an_address_is_derived_and_only_a_sandboxs_is_typed() -> None:
    """Reference 1.1 and 3.4, security 50: Klarna's six hosts and Kustom's, nothing else."""
    wanted = {
        ("klarna", "eu", "live"): "https://api.klarna.com",
        ("klarna", "eu", "playground"): "https://api.playground.klarna.com",
        ("klarna", "na", "live"): "https://api-na.klarna.com",
        ("klarna", "na", "playground"): "https://api-na.playground.klarna.com",
        ("klarna", "oc", "live"): "https://api-oc.klarna.com",
        ("klarna", "oc", "playground"): "https://api-oc.playground.klarna.com",
        ("kustom", "eu", "live"): "https://api.kustom.co",
        ("kustom", "eu", "playground"): "https://api.playground.kustom.co",
        ("kustom", "na", "live"): "https://api-na.kustom.co",
        ("kustom", "oc", "playground"): "https://api-oc.playground.kustom.co",
    }
    assert {place: base_url(*place) for place in wanted} == wanted


WRONG = [
    ({"address": "http://192.168.1.5:8001"}, "address"),
    ({"address": "https://api.klarna.com"}, "address"),
    ({"address": "http://127.0.0.1:8001/path"}, "address"),
    ({"address": "http://user:pw@127.0.0.1:8001"}, "address"),
    ({"address": "http://127.0.0.1.evil.example"}, "address"),
    ({"address": ""}, "address"),
    ({"environment": "playground"}, "address"),
    ({"environment": "moon", "address": ""}, "environment"),
    ({"environment": "playground", "address": "", "region": "xx"}, "environment"),
    ({"name": " "}, "name"),
    ({"store_id": "K 1"}, "store_id"),
    ({"store_id": "K999999"}, "username"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG, ids=str)
def test_what_an_account_cannot_be_is_refused_before_anybody_is_asked(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, sandbox: Control, wrong: dict[str, str], field: str
) -> None:
    """Operations 15.3: a sandbox is loopback only; a user name names its store."""
    with pytest.raises(BadInput) as no:
        klarna_accounts.save(klarna, admin, None, replace(store, **wrong), RIGHT)
    assert no.value.field == field
    assert kept() == [] and sandbox.log() == []


@pytest.mark.parametrize(
    ("environment", "provider", "key", "field"),
    [
        ("playground", "klarna", "klarna_live_api_x", "password"),
        ("live", "klarna", "klarna_test_api_x", "password"),
        ("sandbox", "klarna", "klarna_live_api_x", "password"),
        ("playground", "klarna", "kco_test_api_x", "provider"),
        ("playground", "kustom", "klarna_test_api_x", "provider"),
        ("live", "kustom", "kco_test_api_x", "password"),
    ],
)
def test_a_key_of_another_environment_or_provider_is_never_sent(
    books: Flask, klarna: Gateway, admin: Actor, sandbox: Control, environment: str, provider: str, key: str, field: str
) -> None:
    """Operations 15.3: live credentials on a playground address, or the reverse, are refused before saving."""
    with writing() as session:
        session.get_one(Installation, 1).environment_class = None
    address = sandbox.url if environment == "sandbox" else ""
    facts = Facts("Butiken", "K123456", provider=provider, environment=environment, address=address)
    with pytest.raises(BadInput) as no:
        klarna_accounts.save(klarna, admin, None, facts, Credentials("", key))
    assert no.value.field == field and not isinstance(no.value, klarna_accounts.Refused)
    assert sandbox.log() == []


@pytest.mark.parametrize(("held", "environment"), [("test", "live"), ("live", "playground"), ("live", "sandbox")])
def test_live_and_test_never_meet_in_one_set_of_books(
    books: Flask, klarna: Gateway, admin: Actor, sandbox: Control, held: str, environment: str
) -> None:
    """Operations 15.3, security 54."""
    with writing() as session:
        session.get_one(Installation, 1).environment_class = held
    address = sandbox.url if environment == "sandbox" else ""
    with pytest.raises(BadInput) as no:
        klarna_accounts.save(
            klarna, admin, None, Facts("B", "K1", environment=environment, address=address), Credentials("", "x")
        )
    assert no.value.field == "environment"


def test_the_first_account_decides_for_ever(books: Flask, klarna: Gateway, admin: Actor, store: Facts) -> None:
    with writing() as session:
        session.get_one(Installation, 1).environment_class = None
    add(klarna, admin, store)
    with reading() as session:
        assert account_rules.environment_class(session) == "test"


def test_an_account_that_is_refused_decides_nothing(books: Flask, klarna: Gateway, admin: Actor, store: Facts) -> None:
    with writing() as session:
        session.get_one(Installation, 1).environment_class = None
    with pytest.raises(klarna_accounts.Refused):
        klarna_accounts.save(klarna, admin, None, store, Credentials("K123456_user", "fel"))
    with reading() as session:
        assert account_rules.environment_class(session) is None


def test_a_store_id_is_set_up_once(books: Flask, klarna: Gateway, admin: Actor, store: Facts) -> None:
    add(klarna, admin, store)
    with pytest.raises(BadInput) as no:
        klarna_accounts.save(klarna, admin, None, replace(store, store_id="k123456"), RIGHT)
    assert no.value.field == "store_id"


def test_kept_credentials_are_never_sent_to_another_address(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, sandbox: Control
) -> None:
    """Whoever moves an account types what opens it: else a listener on this machine would be given it."""
    account_id = add(klarna, admin, store)
    moved = replace(store, address="http://127.0.0.1:9")
    with pytest.raises(BadInput) as no:
        klarna_accounts.save(klarna, admin, account_id, moved, None, store.fingerprint)
    assert no.value.field == "password"


def test_only_an_administrator_touches_accounts(
    books: Flask, klarna: Gateway, finance: Actor, clerk: Actor, admin: Actor, store: Facts
) -> None:
    account_id = add(klarna, admin, store)
    for actor in (finance, clerk):
        with pytest.raises(NotAllowed):
            klarna_accounts.save(klarna, actor, account_id, store, None, store.fingerprint)
        with pytest.raises(NotAllowed):
            klarna_accounts.try_connection(klarna, actor, account_id)


# --- Changing -----------------------------------------------------------------------------------------------------------


def test_a_name_is_changed_without_asking_klarna(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, sandbox: Control
) -> None:
    account_id = add(klarna, admin, store)
    asked = len(sandbox.log())
    named = replace(store, name="Webbutiken")
    assert klarna_accounts.save(klarna, admin, account_id, named, None, store.fingerprint) == (account_id, False)
    assert kept()[0].name == "Webbutiken" and len(sandbox.log()) == asked
    with pytest.raises(Stale):
        klarna_accounts.save(klarna, admin, account_id, replace(store, name="Annat"), None, store.fingerprint)


def test_an_account_with_orders_keeps_its_store_id_and_environment(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, sandbox: Control
) -> None:
    account_id = add(klarna, admin, store)
    with writing() as session:
        builders.an_order(session, sandbox, account=session.get_one(KlarnaAccount, account_id))
    for change in ({"store_id": "K654321"}, {"environment": "playground", "address": ""}):
        with pytest.raises(Refusal, match="add another account"):
            klarna_accounts.save(
                klarna, admin, account_id, replace(store, **change), Credentials("", "x"), store.fingerprint
            )


def test_an_account_under_way_is_neither_moved_nor_closed(
    books: Flask, klarna: Gateway, admin: Actor, sandbox: Control
) -> None:
    """B15: not while Klarna has an operation of it unanswered; its credentials may be renewed all the while."""
    with writing() as session:
        account = builders.an_account(session, sandbox, klarna)
        order = builders.an_order(session, sandbox, account=account)
    sandbox.fault("drop_after", operation="create_capture")
    builders.an_invoice(klarna, order, kind=DocType.FINAL)
    with reading() as session:
        shown = klarna_accounts.get(session, account.id)
    facts, typed = shown.facts, Credentials(account.username, f"hemlighet-{account.store_id}")
    assert shown.open_operations == 1 and shown.fixed
    for change in ({"active": False}, {"region": "na"}, {"provider": "kustom"}, {"address": "http://127.0.0.1:9"}):
        with pytest.raises(Refusal, match="has not answered everything"):
            klarna_accounts.save(klarna, admin, account.id, replace(facts, **change), typed, facts.fingerprint)
    assert klarna_accounts.save(klarna, admin, account.id, facts, typed, facts.fingerprint) == (account.id, True)


def test_a_store_that_is_not_set_up_is_never_called(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, sandbox: Control
) -> None:
    """B15, to the letter; a closed account counts as not set up."""
    account_id = add(klarna, admin, store)
    with writing() as session:
        order = builders.an_order(session, sandbox, account=session.get_one(KlarnaAccount, account_id))
    with reading() as session:
        assert klarna_accounts.of_store(session, "K123456").id == account_id
        with pytest.raises(Refusal) as no:
            klarna_accounts.of_store(session, "K999999")
    assert str(no.value) == "The order belongs to store id K999999, which has not been set up."
    klarna_accounts.save(klarna, admin, account_id, replace(store, active=False), None, store.fingerprint)
    asked = len(sandbox.log())
    with reading() as session, pytest.raises(Refusal) as no:
        asking.access_for(session, session.get_one(type(order), order.id))
    assert str(no.value) == "The order belongs to store id K123456, which has not been set up."
    assert len(sandbox.log()) == asked


def test_what_waits_under_a_closed_account_gets_no_permission_to_leave(
    books: Flask, klarna: Gateway, admin: Actor, sandbox: Control
) -> None:
    """B15, the second wall: an operation made in the same moment as the account was closed."""
    with writing() as session:
        account = builders.an_account(session, sandbox, klarna)
        order = builders.an_order(session, sandbox, account=account)
    with klarna.slot(), klarna.slot():
        builders.an_invoice(klarna, order, kind=DocType.FINAL)
    with writing() as session:
        session.get_one(KlarnaAccount, account.id).active = False
        op = session.scalars(sa.select(KlarnaOp)).one()
        assert operations.permit(session, klarna, op.id, None, admin, following.FOLLOW) is None
        assert op.hold_reason == "sending_off"
    assert sandbox.posts() == []


# --- The breaker --------------------------------------------------------------------------------------------------------


def test_an_account_that_is_held_back_keeps_no_other_purchase_from_being_filled_in(
    books: Flask, klarna: Gateway, sandbox: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations 10: Klarna's own number and time are read, however many wait under credentials that are refused."""
    monkeypatch.setattr(janitor, "FILLED_AT_ONCE", 1)
    with writing() as session:
        accounts = [builders.an_account(session, sandbox, klarna) for _ in range(2)]
        sold = [builders.an_order(session, sandbox, account=account) for account in accounts]
    with monkeypatch.context() as late:
        late.setattr(beats, "_fill", lambda *_: None)
        for order in sold:
            builders.an_invoice(klarna, order, kind=DocType.FINAL)
    with writing() as session:
        session.execute(sa.update(Order).values(klarna_read_at=None))
        open_breaker(session, accounts[1].id, CREDENTIALS)
    janitor.run(klarna)
    with reading() as session:
        filled = {op.order_id for op in session.scalars(sa.select(KlarnaOp)) if op.klarna_event_at is not None}
    assert filled == {sold[0].id}, "the latest is the one that cannot be asked about"


def test_new_credentials_that_are_accepted_close_the_breaker(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, sandbox: Control
) -> None:
    """Operations 10: a 401 keeps calls back until credentials are typed; trying the old ones is not enough."""
    account_id = add(klarna, admin, store)
    with writing() as session:
        open_breaker(session, account_id, CREDENTIALS)
    with reading() as session:
        shown = klarna_accounts.get(session, account_id)
    assert shown.breaker == CREDENTIALS and shown.breaker_since is not None
    assert klarna_accounts.try_connection(klarna, admin, account_id) is Result.ACCEPTED
    assert kept()[0].breaker == CREDENTIALS
    with pytest.raises(klarna_accounts.Refused):
        klarna_accounts.save(klarna, admin, account_id, store, Credentials("K123456_user", "fel"), store.fingerprint)
    assert kept()[0].breaker == CREDENTIALS
    klarna_accounts.save(klarna, admin, account_id, store, RIGHT, store.fingerprint)
    (account,) = kept()
    assert (account.breaker, account.breaker_since) == (None, None)


def test_trying_the_connection_says_what_holds_now(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, sandbox: Control
) -> None:
    account_id = add(klarna, admin, store)
    with writing() as session:
        open_breaker(session, account_id, FAILURES)
    assert klarna_accounts.try_connection(klarna, admin, account_id) is Result.ACCEPTED
    assert kept()[0].breaker is None
    sandbox.merchant("K123456", "K123456_user", "nytt hos Klarna")
    assert klarna_accounts.try_connection(klarna, admin, account_id) is Result.REFUSED
    (account,) = kept()
    assert (account.breaker, account.test_result) == (CREDENTIALS, "refused")


def test_credentials_of_another_installation_hold_calls_back_from_the_start(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts, tmp_path: Path
) -> None:
    """A restored database without its credentials.key: nobody is called, and new credentials put it right (security 53)."""
    account_id = add(klarna, admin, store)
    klarna_accounts.hold_unreadable(klarna)
    assert kept()[0].breaker is None, "its own are readable"
    other = Gateway(bytes(32), tmp_path, "elsewhere")
    assert klarna_accounts.try_connection(other, admin, account_id) is Result.UNREADABLE
    with writing() as session:
        session.get_one(KlarnaAccount, account_id).breaker = None
    klarna_accounts.hold_unreadable(other)
    (account,) = kept()
    assert (account.breaker, account.test_result) == (CREDENTIALS, "unreadable")
    klarna_accounts.hold_unreadable(other)
    assert kept()[0].breaker_since == account.breaker_since, "told once"
    klarna_accounts.hold_unreadable(klarna)
    assert (kept()[0].breaker, kept()[0].test_result) == (None, None), "the right key was put back"
    klarna_accounts.hold_unreadable(other)
    klarna_accounts.save(other, admin, account_id, store, RIGHT, store.fingerprint)
    klarna_accounts.hold_unreadable(other)
    assert (kept()[0].breaker, kept()[0].test_result) == (None, "accepted")


def test_two_first_accounts_at_once_agree_on_the_books(
    books: Flask, klarna: Gateway, admin: Actor, store: Facts
) -> None:
    """Of two equal accounts typed at the same moment one is kept; the other is told why not."""
    raised = in_threads(books, lambda _number: add(klarna, admin, store) and None, 2)
    assert [type(each) for each in raised] == [BadInput] and len(kept()) == 1
