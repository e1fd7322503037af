"""The registers: customers, articles and warehouses, as lists and cards. Rules live in services/register.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import clock
import web_register_files
from db import reading, writing
from errors import Refusal
from rights import Right
from services import anonymising, register, settings
from services.register import ArticleFacts, CustomerFacts
from states import LineKind
from web import (
    AmountField,
    ChoiceField,
    EmailField,
    Form,
    HiddenLineField,
    LineField,
    LinesField,
    TickField,
    WholeField,
    actor,
    done,
    label,
    may,
    needs,
    page,
    query_choice,
    query_text,
    query_whole,
    why_not,
)
from web_labels import VAT_CLASS_NAMES
from web_reports import file_address, wants_file
from web_words import gettext as _
from web_words import percent

blueprint = Blueprint("register", __name__)

ROWS = 50


def _no_right() -> str | None:
    return why_not(Right.WORK)


def _save(
    form: Form, act: Callable[[Session], Any], again: Callable[[int], Response], well: Callable[[Any], Response]
) -> Response:
    """Run one act on a form that could be read: the card on success, the form with its sentences otherwise."""
    if not form.accepted():
        return again(422)
    try:
        with writing() as changed:
            made = act(changed)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return again(form.refuse(refusal))
    return well(made)


# --- Customers ----------------------------------------------------------------------------------------------------------


class CustomerForm(Form):
    """A customer card."""

    name = LineField(lazy("Name"), most=register.LONGEST_NAME)
    organisation_number = LineField(lazy("Organisation number"), most=20, required=False)
    email = EmailField(lazy("E-mail"), required=False)
    phone = LineField(lazy("Phone"), most=40, required=False)
    street = LineField(lazy("Street"), most=200, required=False)
    street2 = LineField(lazy("Street, second line"), most=200, required=False)
    postal_code = LineField(lazy("Postal code"), most=20, required=False)
    city = LineField(lazy("City"), most=100, required=False)
    country = LineField(lazy("Country, two letters"), most=2)
    note = LinesField(lazy("Note"), most=2000, required=False)
    payment_days = WholeField(lazy("Days to pay"), most=365, required=False)
    seen = HiddenLineField(most=64, required=False)

    @property
    def facts(self) -> CustomerFacts:
        """What was typed."""
        texts = [name for name in CustomerFacts.__dataclass_fields__ if name != "payment_days"]
        return CustomerFacts(payment_days=self.payment_days.data, **{name: self[name].data or "" for name in texts})


@blueprint.get("/register/customers")
@needs(Right.READ)
def customers() -> Response:
    """The customer list."""
    search, after = query_text("q"), query_whole("after", 0) or None
    if wants_file():
        with reading() as looked:
            return web_register_files.customers(looked, search=search, private=may(Right.SEE_PRIVATE))
    with reading() as looked:
        rows = register.customers(looked, search=search, after=after, limit=ROWS + 1)
    given: dict[str, Any] = {"q": search or None}
    return page(
        "register/customers.html",
        panel="register/_customers.html",
        rows=rows[:ROWS],
        search=search,
        may_see=may(Right.SEE_PRIVATE),
        no_right=_no_right(),
        file_url=file_address("register.customers", **given),
        first=url_for("register.customers", **given) if after else None,
        older=url_for("register.customers", **given, after=rows[ROWS - 1].number) if len(rows) > ROWS else None,
    )


def _customer_card(form: CustomerForm, customer_id: int | None, status: int = 200) -> Response:
    with reading() as looked:
        customer = register.get_customer(looked, customer_id) if customer_id is not None else None
        emptied = customer is not None and customer.anonymised_at is not None
        emptied_by = anonymising.emptied_by(looked, customer.id) if customer is not None and emptied else ""
    private = may(Right.SEE_PRIVATE)
    return page(
        "register/customer.html",
        status=status,
        form=form,
        customer=customer,
        emptied_by=emptied_by,
        may_see=private,
        no_right=_no_right(),
    )


@blueprint.get("/register/customers/new")
@needs(Right.WORK)
def new_customer() -> Response:
    """An empty card."""
    form = CustomerForm()
    form.country.data = form.country.data or "SE"
    return _customer_card(form, None)


@blueprint.post("/register/customers/new")
@needs(Right.WORK)
def add_customer() -> Response:
    """Add a customer."""
    form = CustomerForm()
    return _save(
        form,
        lambda session: register.new_customer(session, actor(), form.facts),
        lambda status: _customer_card(form, None, status),
        lambda made: _customer_saved(*made),
    )


def _customer_saved(customer: Any, masked: bool) -> Response:
    url = url_for("register.customer", customer_id=customer.id)
    if masked:
        return done(url, ("warning", _("Saved. A personal identity number was masked: Kvitta does not store those.")))
    return done(url, ("success", _("The card has been saved.")))


@blueprint.get("/register/customers/<int:customer_id>")
@needs(Right.READ)
def customer(customer_id: int) -> Response:
    """A customer's card."""
    with reading() as looked:
        facts = register.facts_of(register.get_customer(looked, customer_id))
    values = {name: getattr(facts, name) for name in CustomerFacts.__dataclass_fields__}
    return _customer_card(CustomerForm(data={**values, "seen": facts.fingerprint}), customer_id)


@blueprint.post("/register/customers/<int:customer_id>")
@needs(Right.WORK)
def change_customer(customer_id: int) -> Response:
    """Change a customer's card."""
    form = CustomerForm()
    return _save(
        form,
        lambda session: register.change_customer(session, actor(), customer_id, form.facts, form.seen.data or ""),
        lambda status: _customer_card(form, customer_id, status),
        lambda made: _customer_saved(*made),
    )


# --- Articles -----------------------------------------------------------------------------------------------------------


class ArticleForm(Form):
    """An article card; prices include VAT."""

    number = LineField(lazy("Article number"), most=255)
    name = LineField(lazy("Description"), most=register.LONGEST_NAME)
    gtin = LineField(lazy("GTIN (EAN)"), most=20, required=False)
    kind = ChoiceField(lazy("Kind"), default=LineKind.ARTICLE.value)
    unit = LineField(lazy("Unit"), most=20)
    price = AmountField(lazy("Price with VAT"), zero=True)
    free = TickField(lazy("The article is free of charge"))
    cost = AmountField(lazy("Cost"), zero=True, required=False)
    vat_class = ChoiceField(lazy("VAT class"))
    stock_kept = TickField(lazy("Stock is kept"))
    may_go_negative = TickField(lazy("The balance may go below zero"))
    active = TickField(lazy("In use"))
    seen = HiddenLineField(most=64, required=False)

    def facts(self, cost_minor: int | None) -> ArticleFacts:
        """What was typed; a card that has a cost keeps it, since that is changed with a reason (B27)."""
        if cost_minor is None:
            cost_minor = self.cost.data or 0 if may(Right.SEE_PRIVATE) else 0
        return ArticleFacts(
            number=self.number.data or "",
            name=self.name.data or "",
            price_minor=self.price.data or 0,
            vat_class=self.vat_class.data or "",
            gtin=self.gtin.data or "",
            unit=self.unit.data or "",
            kind=LineKind(self.kind.data),
            cost_minor=cost_minor,
            stock_kept=bool(self.stock_kept.data),
            may_go_negative=bool(self.may_go_negative.data),
            active=bool(self.active.data),
            free=bool(self.free.data),
        )


def _article_form(**given: Any) -> ArticleForm:
    form = ArticleForm(**given)
    form.kind.choices = [(kind.value, label(kind)) for kind in register.ARTICLE_KINDS]
    with reading() as looked:
        classes = settings.vat_classes(looked, clock.today())
    form.vat_class.choices = [(name, _class_name(name, rate)) for name, rate in classes.items()]
    return form


def _class_name(name: str, rate: int) -> str:
    return f"{_(VAT_CLASS_NAMES.get(name, name))} ({percent(rate)})"


@blueprint.get("/register/articles")
@needs(Right.READ)
def articles() -> Response:
    """The article list."""
    search, after = query_text("q"), query_text("after") or None
    everything = query_choice("all", ["1"], "") == "1"
    classes = {name: _(text) for name, text in VAT_CLASS_NAMES.items()}
    if wants_file():
        costs = may(Right.SEE_PRIVATE)
        with reading() as looked:
            return web_register_files.articles(looked, classes, search=search, everything=everything, costs=costs)
    with reading() as looked:
        rows = register.articles(looked, search=search, all_of_them=everything, after=after, limit=ROWS + 1)
    given: Mapping[str, Any] = {"q": search or None, "all": "1" if everything else None}
    return page(
        "register/articles.html",
        panel="register/_articles.html",
        rows=rows[:ROWS],
        search=search,
        everything=everything,
        classes=classes,
        no_right=_no_right(),
        file_url=file_address("register.articles", **given),
        first=url_for("register.articles", **given) if after else None,
        older=url_for("register.articles", **given, after=rows[ROWS - 1].number_key) if len(rows) > ROWS else None,
    )


def _article_card(form: ArticleForm, article_id: int | None, status: int = 200) -> Response:
    with reading() as looked:
        article = register.get_article(looked, article_id) if article_id is not None else None
    return page(
        "register/article.html",
        status=status,
        form=form,
        article=article,
        may_see=may(Right.SEE_PRIVATE),
        no_right=_no_right(),
    )


@blueprint.get("/register/articles/new")
@needs(Right.WORK)
def new_article() -> Response:
    """An empty card."""
    return _article_card(_article_form(data={"unit": "st", "stock_kept": True, "active": True}), None)


@blueprint.post("/register/articles/new")
@needs(Right.WORK)
def add_article() -> Response:
    """Add an article."""
    form = _article_form()
    return _save(
        form,
        lambda session: register.new_article(session, actor(), form.facts(None)),
        lambda status: _article_card(form, None, status),
        lambda made: done(url_for("register.article", article_id=made.id), ("success", _("The card has been saved."))),
    )


@blueprint.get("/register/articles/<int:article_id>")
@needs(Right.READ)
def article(article_id: int) -> Response:
    """An article's card."""
    with reading() as looked:
        facts = register.article_facts(register.get_article(looked, article_id))
    values = {name: getattr(facts, name) for name in ArticleFacts.__dataclass_fields__}
    values |= {
        "price": facts.price_minor,
        "cost": facts.cost_minor,
        "kind": facts.kind.value,
        "seen": facts.fingerprint,
    }
    return _article_card(_article_form(data=values), article_id)


@blueprint.post("/register/articles/<int:article_id>")
@needs(Right.WORK)
def change_article(article_id: int) -> Response:
    """Change an article's card; orders and documents keep what they have."""
    form = _article_form()
    return _save(
        form,
        lambda session: register.change_article(session, actor(), article_id, form.facts(0), form.seen.data or ""),
        lambda status: _article_card(form, article_id, status),
        lambda made: done(url_for("register.article", article_id=made.id), ("success", _("The card has been saved."))),
    )


# --- Warehouses ---------------------------------------------------------------------------------------------------------


class WarehouseForm(Form):
    """A warehouse."""

    code = LineField(lazy("Code"), most=10)
    name = LineField(lazy("Name"), most=100)
    active = TickField(lazy("In use"))


@blueprint.get("/register/warehouses")
@needs(Right.READ)
def warehouses() -> Response:
    """All warehouses."""
    with reading() as looked:
        rows = register.warehouses(looked)
    return page("register/warehouses.html", rows=rows, no_right=_no_right())


def _warehouse_card(form: WarehouseForm, warehouse_id: int | None, status: int = 200) -> Response:
    with reading() as looked:
        warehouse = register.get_warehouse(looked, warehouse_id) if warehouse_id is not None else None
    return page("register/warehouse.html", status=status, form=form, warehouse=warehouse, no_right=_no_right())


@blueprint.route("/register/warehouses/new", methods=["GET", "POST"])
@needs(Right.WORK)
def new_warehouse() -> Response:
    """Add a warehouse."""
    if request.method == "GET":
        return _warehouse_card(WarehouseForm(), None)
    return _save_warehouse(None)


@blueprint.get("/register/warehouses/<int:warehouse_id>")
@needs(Right.READ)
def warehouse(warehouse_id: int) -> Response:
    """A warehouse's card."""
    with reading() as looked:
        form = WarehouseForm(obj=register.get_warehouse(looked, warehouse_id))
    return _warehouse_card(form, warehouse_id)


@blueprint.post("/register/warehouses/<int:warehouse_id>")
@needs(Right.WORK)
def change_warehouse(warehouse_id: int) -> Response:
    """Change a warehouse's card."""
    return _save_warehouse(warehouse_id)


def _save_warehouse(warehouse_id: int | None) -> Response:
    form = WarehouseForm()
    return _save(
        form,
        lambda session: register.save_warehouse(
            session,
            actor(),
            warehouse_id,
            code=form.code.data or "",
            name=form.name.data or "",
            active=bool(form.active.data) or warehouse_id is None,
        ),
        lambda status: _warehouse_card(form, warehouse_id, status),
        lambda _made: done(url_for("register.warehouses"), ("success", _("The card has been saved."))),
    )
