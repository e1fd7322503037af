"""Settings in the browser: dated, logged, an administrator's alone, and nothing that is booked or printed changes (B36, B32)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from app import create_app
from config import Config
from db import db, reading, writing
from klarna_sandbox.control import Control
from models import Account, KlarnaAccount, PaymentMethod
from rights import RIGHTS, Right
from services import payment_methods, settings
from services.gateway import CREDENTIALS, Gateway, open_breaker
from states import PaymentKind, Role
from tests import builders
from tests.blueprints.document_pages import in_english
from tests.web_client import WebClient
from web_access import DEMANDS

FORM = "main form.form"
ROOMS = ("settings", "setting_books", "setting_chart", "klarna_accounts", "payment_methods")


@pytest.fixture
def admin_page(app: Flask) -> WebClient:
    return in_english(WebClient(app), "admin")


def tomorrow() -> date:
    return clock.today() + timedelta(days=1)


# --- Who may ------------------------------------------------------------------------------------------------------------


@pytest.mark.only_on("sqlite")
def test_every_change_of_a_setting_asks_for_the_password_again(app: Flask) -> None:
    """Security 33: and so do the forms, so that nothing typed is lost on the way."""
    for name, view in app.view_functions.items():
        access = DEMANDS.get(view)
        if name.partition(".")[0] in ROOMS and access is not None:
            assert access.confirmed == (access.right is Right.ADMINISTER), name


@pytest.mark.parametrize("role", [Role.VIEWER, Role.CLERK, Role.FINANCE])
def test_others_see_the_settings_and_who_may_change_them(app: Flask, role: Role) -> None:
    """B31: off, with the role it requires."""
    client = WebClient(app).log_in(role.value)
    for address in ("company", "limits", "accounts", "texts", "klarna", "payment-methods"):
        page = client.get(f"/settings/{address}")
        assert page.status == 200 and "Kräver Administratör." in page.find(".page-head").text
    tabs = client.get("/settings/company").find("ul.tabs").text
    assert ("Ändringar" in tabs) == (Right.READ_AUDIT in RIGHTS[role]) and "Användare" not in tabs


def test_the_pages_say_what_they_are_for(admin_page: WebClient) -> None:
    """Screens: each has a one-paragraph explanation at its top."""
    assert admin_page.get("/settings").has("p.lead")
    admin_page.get("/settings/company")
    for link in [each["href"] for each in admin_page.page.all("ul.tabs a")]:
        if link.startswith("/settings"):
            assert len(admin_page.get(link).find("p.lead").text) > 60, link


# --- Groups -------------------------------------------------------------------------------------------------------------


def test_the_company_changes_from_a_day_on(admin_page: WebClient) -> None:
    admin_page.get("/settings/company/edit")
    page = admin_page.submit(FORM, city="Skövde", f_tax=True, valid_from=tomorrow().isoformat())
    assert "Saved. The change holds from" in page.text
    assert [row.text for row in page.all("table tbody tr")] and "Skövde" in page.find("table").text
    with reading() as session:
        assert settings.value(session, "company.city") == "Stockholm"
        assert settings.value(session, "company.city", tomorrow()) == "Skövde"
        assert settings.value(session, "company.f_tax", tomorrow()) == "1"
    shown = admin_page.get("/settings/changes").find("table").text
    assert "City" in shown and "Skövde" in shown and "Administratören" in shown and tomorrow().isoformat() in shown


WRONG_COMPANY = [
    ({"name": " "}, "name"),
    ({"organisation_number": "556677-8890"}, "organisation_number"),
    ({"vat_number": "SE559999000901"}, "vat_number"),
    ({"vat_number": "SE556677889901"}, "vat_number"),
    ({"bankgiro": "991-2345"}, "bankgiro"),
    ({"bankgiro": "12"}, "bankgiro"),
    ({"postal_code": "1112A"}, "postal_code"),
    ({"email": "a@b.se, c@d.se"}, "email"),
    ({"name": "x\u202ey"}, "name"),
    ({"valid_from": "2020-01-01"}, "valid_from"),
    ({"valid_from": "soon"}, "valid_from"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG_COMPANY, ids=str)
def test_what_a_company_cannot_be_is_refused_beside_its_field(
    admin_page: WebClient, wrong: dict[str, str], field: str
) -> None:
    """Catalogue row 72; a change never reaches back over what is booked."""
    admin_page.get("/settings/company/edit")
    page = admin_page.submit(FORM, **{"city": "Skövde", **wrong})
    assert page.status == 422 and page.has(f"#{field}-error")
    assert page.form("main form[action$=edit]").values["city"] == "Skövde"
    with reading() as session:
        assert settings.value(session, "company.city") == "Stockholm"


def test_numbers_are_kept_in_the_form_they_are_printed_in(admin_page: WebClient) -> None:
    admin_page.get("/settings/company/edit")
    admin_page.submit(FORM, organisation_number="5567370431", vat_number="se 556737-0431 01", bankgiro="9912346",
        postal_code="54130",
    )  # fmt: skip
    with reading() as session:
        told = settings.values(session, "company.")
    assert told["company.organisation_number"] == "556737-0431" and told["company.vat_number"] == "SE556737043101"
    assert told["company.bankgiro"] == "991-2346" and told["company.postal_code"] == "541 30"


def test_two_who_change_one_group_do_not_overwrite_each_other(admin_page: WebClient) -> None:
    """Catalogue row 73."""
    first = admin_page.get("/settings/company/edit")
    admin_page.get("/settings/company/edit")
    assert admin_page.submit(FORM, city="Lund").status == 200
    assert admin_page.submit(FORM, page=first, city="Malmö").status == 409
    with reading() as session:
        assert settings.value(session, "company.city") == "Lund"


def test_a_form_sent_as_it_was_changes_nothing(admin_page: WebClient) -> None:
    for group in ("company", "limits", "accounts", "texts"):
        admin_page.get(f"/settings/{group}/edit")
        assert "Nothing was different." in admin_page.submit(FORM).text


def test_limits_are_typed_as_people_write_them(admin_page: WebClient) -> None:
    """B36: the refund limit, dated and logged."""
    admin_page.get("/settings/limits/edit")
    admin_page.submit(FORM, clerk="1500.00", unpaid_days="45", match_field="merchant_reference2")
    with reading() as session:
        assert settings.number(session, "refund_limit.clerk") == 150_000
        assert settings.value(session, "match_field") == "merchant_reference2"
    for address in ("/settings/limits", "/settings/changes"):
        assert "SEK 1,500.00" in admin_page.get(address).find("main").text
    admin_page.get("/settings/limits/edit")
    assert admin_page.submit(FORM, unpaid_days="0").status == 422


def test_a_default_account_is_chosen_from_the_chart(admin_page: WebClient) -> None:
    """B36: what was booked keeps its account (tests/services/test_settings.py)."""
    admin_page.get("/settings/accounts/edit")
    page = admin_page.submit(FORM, fee="1510")
    assert page.status == 422 and page.has("#fee-error")
    admin_page.get("/settings/accounts/edit")
    assert "6064" in admin_page.submit(FORM, fee="6064").text
    chart = admin_page.get("/settings/chart").find("table").text
    assert "Kundfordringar" in chart and "25%" in chart


def test_a_default_account_that_was_closed_before_it_was_one_keeps_nobody_from_choosing_others(
    admin_page: WebClient,
) -> None:
    """Stock accounts became default accounts later: a company may have closed its own long ago."""
    with writing() as session:
        session.execute(sa.update(Account).where(Account.number == 1460).values(active=False))
    admin_page.get("/settings/accounts/edit")
    page = admin_page.submit(FORM, fee="6064")
    assert page.status == 200 and "6064" in page.text and "1460" in page.text


def test_the_first_number_is_chosen_until_one_has_been_taken(
    admin_page: WebClient, klarna: Gateway, sandbox: Control
) -> None:
    admin_page.get("/settings/texts/edit")
    admin_page.submit(FORM, first_number="9000", invoice_sv="Tack för köpet.\nVälkommen åter.")
    document = builders.a_captured_invoice(klarna, sandbox)
    assert document.number_text == "9000"
    assert "Välkommen åter." in admin_page.get(f"/invoices/{document.id}/print").text
    page = admin_page.get("/settings/texts/edit")
    assert page.find("#first_number").get("readonly") is not None
    page = admin_page.submit(FORM, first_number="1")
    assert page.status == 409 and "has taken the first number" in page.text
    admin_page.get("/settings/texts/edit")
    admin_page.submit(FORM, invoice_sv="Annat")
    assert "Välkommen åter." in admin_page.get(f"/invoices/{document.id}/print").text, "documents keep their text"


# --- VAT ----------------------------------------------------------------------------------------------------------------


def test_a_vat_rate_comes_with_its_day_and_its_accounts(admin_page: WebClient) -> None:
    """B36: dated; a rate that is new is refused until it has accounts."""
    admin_page.get("/settings/vat")
    typed = {"vat_class": "reduced", "rate": "11", "valid_from": tomorrow().isoformat()}
    page = admin_page.submit(FORM, **typed)
    assert page.status == 422 and page.has("#sales_account-error") and "11%" in page.text
    page = admin_page.submit(FORM, **typed, sales_account="3002", vat_account="2621")
    assert "The rate has been added." in page.text and "Coming" in page.find("table").text
    with reading() as session:
        assert settings.vat_rate_of(session, "reduced", clock.today()) == 1200
        assert settings.vat_rate_of(session, "reduced", tomorrow()) == 1100
    page = admin_page.submit(FORM, **{**typed, "rate": "10.5"}, sales_account="3002", vat_account="2621")
    with reading() as session:
        assert settings.vat_rate_of(session, "reduced", tomorrow()) == 1050, "what has not come is typed again"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"rate": "x"}, "rate"), ({"rate": "101"}, "rate"), ({"valid_from": "2020-01-01"}, "valid_from")],
    ids=str,
)
def test_a_vat_rate_that_cannot_be_is_refused(admin_page: WebClient, wrong: dict[str, str], field: str) -> None:
    admin_page.get("/settings/vat")
    typed = {"vat_class": "food", "rate": "12", "valid_from": tomorrow().isoformat(), **wrong}
    page = admin_page.submit(FORM, **typed)
    assert page.status == 422 and page.has(f"#{field}-error")


# --- Payment methods ----------------------------------------------------------------------------------------------------


def test_a_payment_method_has_its_words_on_documents(admin_page: WebClient, klarna: Gateway, sandbox: Control) -> None:
    """B32: «Dokumentrubrik» and «Dokumentbenämning» with their translations, frozen with the document."""
    before = builders.a_captured_invoice(klarna, sandbox)
    with reading() as session:
        method = builders.a_payment_method(session)
    admin_page.get(f"/settings/payment-methods/{method.id}")
    page = admin_page.submit(FORM, name_sv="Klarna faktura", name_en="Klarna invoice",
        heading_sv="Betalas med", heading_en="Paid with", document_name_sv="Klarna, 30 dagar", document_name_en="",
    )  # fmt: skip
    assert "Klarna faktura" in page.find("table").text and "Betalas med" in page.find("table").text
    after = builders.a_captured_invoice(klarna, sandbox)
    paper = admin_page.get(f"/invoices/{after.id}/print").find(".refs").text
    assert "Paid with" in paper and "Klarna, 30 dagar" in paper, "English falls back on the Swedish"
    assert "Payment method" in admin_page.get(f"/invoices/{before.id}/print").find(".refs").text


def test_a_payment_method_is_added_and_closed(admin_page: WebClient) -> None:
    """B32: «Benämning» is required."""
    admin_page.get("/settings/payment-methods/new")
    page = admin_page.submit(FORM, name_sv=" ", kind="invoice")
    assert page.status == 422 and page.has("#name_sv-error")
    assert admin_page.submit(FORM, name_sv="faktura", kind="invoice").status == 422
    admin_page.submit(FORM, name_sv="Faktura 10 dagar", kind="invoice")
    with reading() as session:
        made = payment_methods.listing(session)[-1]
    assert (made.kind, made.name_sv, made.name_en) == (PaymentKind.INVOICE, "Faktura 10 dagar", "Faktura 10 dagar")
    first = admin_page.get(f"/settings/payment-methods/{made.id}")
    admin_page.submit(FORM, active=False)
    assert admin_page.submit(FORM, page=first, active=True).status == 409


def test_a_method_that_orders_are_paid_by_keeps_its_kind(admin_page: WebClient, sandbox: Control) -> None:
    with writing() as session:
        order = builders.an_order(session)
    address = f"/settings/payment-methods/{order.payment_method_id}"
    admin_page.get(address)
    with reading() as session:
        kind = session.get_one(PaymentMethod, order.payment_method_id).kind
    other = PaymentKind.INVOICE if kind is PaymentKind.KLARNA else PaymentKind.KLARNA
    page = admin_page.submit(FORM, kind=other.value)
    assert page.status == 409 and "the kind stays" in page.text


# --- Klarna accounts ----------------------------------------------------------------------------------------------------


SECRET = "kanariefågel-93"


def test_an_account_is_tried_and_kept_and_its_credentials_never_shown(admin_page: WebClient, sandbox: Control) -> None:
    """B15; security 53: a canary is searched for in every page."""
    sandbox.merchant("K123456", "K123456_user", SECRET)
    pages = [admin_page.get("/settings/klarna/new")]
    typed = {
        "name": "Butiken", "store_id": "K123456", "environment": "sandbox", "address": sandbox.url,
        "username": "K123456_user", "password": "fel " + SECRET,
    }  # fmt: skip
    pages.append(admin_page.submit(FORM, **typed))
    assert pages[-1].status == 422 and "Klarna does not accept the credentials (401)." in pages[-1].text
    assert pages[-1].form("main form[action$=new]").values["store_id"] == "K123456", "what was typed stays"
    pages.append(admin_page.submit(FORM, **{**typed, "password": SECRET}))
    assert "Saved. Klarna accepts the credentials." in pages[-1].text
    address = pages[-1].url
    pages.append(admin_page.submit("form[action$=try]"))
    assert "Klarna accepts the credentials." in pages[-1].text
    pages.append(admin_page.submit(FORM, name="Webbutiken", fees_from="eu_country"))
    assert "The account has been saved." in pages[-1].text
    pages += [admin_page.get(each) for each in ("/settings/klarna", "/settings/changes", address)]
    assert "Webbutiken" in pages[-3].text and "Accepted" in pages[-3].text
    assert [each.text for each in pages[-3].all(".environment")] == ["SANDBOX"], "the badges are the shell's own"
    assert "Fees come from: A company in another EU country" in pages[-2].text
    assert pages[-1].form(FORM).values["fees_from"] == "eu_country"
    assert "Store id: K123456" in pages[-2].text and "Credentials: typed anew" in pages[-2].text
    assert not any(SECRET in page.html for page in pages)
    assert "K123456_user" not in pages[-1].html + pages[-2].html + pages[-3].html


def test_a_refused_account_shows_since_when_calls_are_held_back(
    admin_page: WebClient, klarna: Gateway, sandbox: Control
) -> None:
    """Operations 10."""
    with writing() as session:
        account = builders.an_account(session, sandbox, klarna)
    with writing() as session:
        open_breaker(session, account.id, CREDENTIALS)
    for address in ("/settings/klarna", f"/settings/klarna/{account.id}"):
        page = admin_page.get(address)
        assert "Calls are held back since" in page.find("main .banner.bad").text
    page = admin_page.submit(FORM, username=account.username, password=f"hemlighet-{account.store_id}")
    assert not page.has("main .banner.bad")
    with reading() as session:
        assert session.get_one(KlarnaAccount, account.id).breaker is None


def test_a_database_restored_beside_another_key_is_shown_and_calls_nobody(
    config: Config, app: Flask, klarna: Gateway, sandbox: Control
) -> None:
    """Security 53: pages open and say why nothing is sent, and new credentials put it right."""
    with writing() as session:
        account = builders.an_account(session, sandbox, klarna)
        order = builders.an_order(session, sandbox, account=account)
    restored = create_app(replace(config, credentials_key=bytes(32), testing=False))
    with restored.app_context():
        clerk = in_english(WebClient(restored), "clerk")
        assert clerk.get(f"/orders/{order.id}").status == 200
        page = clerk.submit("form[action$=look]")
        assert page.status == 409 and "Klarna does not accept the store's credentials" in page.text
        admin = in_english(WebClient(restored), "admin")
        assert "Credentials cannot be read" in admin.get("/settings/klarna").text
        page = admin.get(f"/settings/klarna/{account.id}")
        assert "kept under another installation's key" in page.find("main .banner.bad").text
        page = admin.submit("form[action$=try]")
        assert page.status == 200 and "Type them anew." in page.find("#messages").text
        page = admin.submit(FORM, username=account.username, password=f"hemlighet-{account.store_id}")
        assert not page.has("main .banner.bad")
        db.engine.dispose()


def test_the_machine_that_may_send_is_shown(admin_page: WebClient, klarna: Gateway, sandbox: Control) -> None:
    """Operations 15.2."""
    assert "No machine has sent anything yet." in admin_page.get("/settings/sending").text
    builders.a_captured_invoice(klarna, sandbox)
    page = admin_page.get("/settings/sending")
    assert klarna.host_name in page.find("table").text and "This one" in page.find("table").text
    assert "The first start" in page.find("table").text
    with writing() as session:
        session.execute(sa.text("UPDATE sender_lease SET host_id = 'another', host_name = 'kontor-1'"))
    assert "belongs to the machine kontor-1" in admin_page.get("/settings/sending").find("main .banner.warn").text


def test_an_account_is_added_changed_and_closed(app: Flask, admin_page: WebClient) -> None:
    """B36, «Kontoplan»: with VAT codes and «Betalkonto»; what cannot be is said beside its field."""
    admin_page.get("/settings/chart/new")
    page = admin_page.submit(FORM, number="1930", name="Bank")
    assert page.status == 422 and page.has("#number-error") and page.form(FORM).values["name"] == "Bank"
    page = admin_page.submit(FORM, number="1931", name="Bank två", payment_account=True, vat_box="")
    assert page.status == 200 and "Account 1931 has been added." in page.text
    row = next(each for each in page.all("table tbody tr") if each.all("td")[0].text == "1931")
    assert [cell.text for cell in row.all("td")[1:6]] == ["Bank två", "Asset", "", "", "Yes"]
    admin_page.get("/settings/chart/1931")
    page = admin_page.submit(FORM, active=False)
    assert "Account 1931 has been changed." in page.text and page.has("tr.muted a[href=/settings/chart/1931]")
    assert len(admin_page.get("/settings/chart/1931").all("section table tbody tr")) == 2
    admin_page.get("/settings/chart/1510")
    page = admin_page.submit(FORM, active=False)
    assert page.status == 409 and page.has("#active-error")
    for address in ("/settings/chart/999", "/settings/chart/7777"):
        assert admin_page.get(address).status == 404
    assert WebClient(app).log_in("finance").get("/settings/chart").has("[aria-disabled=true]")
