"""Tables, in the order money flows, and what a row can check by itself.

``*_minor`` columns are minor units (öre), ``*_milli`` thousandths of a unit, rates hundredths of a percent. Instants are UTC,
days local. Append-only tables and columns that are set once are also guarded by triggers (migrations). Source: operations 2.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from columns import EnumText
from db import Base
from states import (
    AnswerClass,
    BreakKind,
    BreakState,
    Condition,
    DocKind,
    DocState,
    DocType,
    FeesFrom,
    KlarnaStatus,
    LineKind,
    MovementKind,
    OpKind,
    OpState,
    OrderState,
    Origin,
    PaymentKind,
    PayoutState,
    Pile,
    RefusalKind,
    Role,
    StocktakeState,
    WithoutKlarna,
)

STRICT = {"sqlite_strict": True}
"""SQLite checks the types of every row, as PostgreSQL does."""

APPEND_ONLY = (
    "account_change",
    "audit",
    "bank_entry",
    "bank_statement",
    "bank_tie",
    "document_event",
    "form_use",
    "goods_return",
    "klarna_answer",
    "klarna_attempt",
    "klarna_call",
    "klarna_op_event",
    "offset",
    "order_amendment",
    "order_hold",
    "payment",
    "payout_row",
    "period_lock",
    "posting",
    "reading_file",
    "reading_part",
    "row_placing",
    "setting",
    "stock_movement",
    "voucher",
)
"""Tables whose rows are never changed or removed; triggers hold it, ``flask verify`` looks for the triggers."""

Money = Mapped[int]


def _of_rows(condition: str) -> dict[str, Any]:
    """Of an index: only these rows are in it."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# --- The company, its people and its settings ---------------------------------------------------------------------------


class Installation(Base):
    """The one row that says whose books these are and whether they may send."""

    __tablename__ = "installation"
    __table_args__ = (
        CheckConstraint("id = 1", "single"),
        CheckConstraint("environment_class IN ('live','test')", "class"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    installation_id: Mapped[str]
    environment_class: Mapped[str | None]
    sending_enabled: Mapped[bool] = mapped_column(default=True)
    sending_reason: Mapped[str | None]
    restored_at: Mapped[datetime | None]
    backup_taken_at: Mapped[datetime | None]
    numbering_frozen: Mapped[bool] = mapped_column(default=False)


class Setting(Base):
    """A company setting from a day on; never changed, only followed by another (B36)."""

    __tablename__ = "setting"
    __table_args__ = (Index(None, "name", "valid_from"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    value: Mapped[str]
    valid_from: Mapped[date]
    set_by: Mapped[str]
    set_at: Mapped[datetime]


class User(Base):
    """A person who logs in. ``login`` is NFKC and case-folded."""

    __tablename__ = "user_account"
    __table_args__ = (STRICT,)

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    language: Mapped[str | None]
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    roles: Mapped[list[UserRole]] = relationship(lazy="selectin", cascade="all, delete-orphan")


class UserRole(Base):
    """One role of one user; a user may hold several."""

    __tablename__ = "user_role"
    __table_args__ = (STRICT,)

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), primary_key=True)
    role: Mapped[Role] = mapped_column(EnumText(Role), primary_key=True)


class LoginSession(Base):
    """A session, found by the hash of its 256-bit id (security 19)."""

    __tablename__ = "login_session"
    __table_args__ = (STRICT,)

    id_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    confirmed_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    address: Mapped[str | None]


class UserPreference(Base):
    """One of a user's own suggestions, «Mina inställningar» (B22); what is absent is the default."""

    __tablename__ = "user_preference"
    __table_args__ = (STRICT,)

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class ApiToken(Base):
    """A key to the JSON interface. Only its hash is kept; ``shown`` is its beginning, to tell it by."""

    __tablename__ = "api_token"
    __table_args__ = (
        CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", "revoked"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    shown: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    revoked_at: Mapped[datetime | None]


class LoginAttempt(Base):
    """A try to log in, for the throttle (security 28). ``login`` is a hash, so a typed password never lies here."""

    __tablename__ = "login_attempt"
    __table_args__ = (Index(None, "login_hash", "at"), Index(None, "address", "at"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    login_hash: Mapped[str]
    address: Mapped[str]
    at: Mapped[datetime]
    succeeded: Mapped[bool]


class Audit(Base):
    """Who did what, when; append-only and chained (security 73)."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "object"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    object: Mapped[str]
    detail: Mapped[str]
    previous_hash: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)


class NumberSeries(Base):
    """A counter row: the next number of a series, its last date and, for vouchers, the head of its hash chain."""

    __tablename__ = "number_series"
    __table_args__ = (CheckConstraint("next_no >= 1", "next_no"), STRICT)

    code: Mapped[str] = mapped_column(primary_key=True)
    fiscal_year: Mapped[int] = mapped_column(primary_key=True)
    first_no: Mapped[int]
    next_no: Mapped[int]
    last_date: Mapped[date | None]
    head_hash: Mapped[str] = mapped_column(default="")


class JobLease(Base):
    """Who runs a job that only one may run at a time."""

    __tablename__ = "job_lease"
    __table_args__ = (STRICT,)

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[datetime]


class SenderLease(Base):
    """The host that may send to Klarna (operations 15.2)."""

    __tablename__ = "sender_lease"
    __table_args__ = (STRICT,)

    host_id: Mapped[str] = mapped_column(primary_key=True)
    host_name: Mapped[str]
    approved_by: Mapped[str]
    approved_at: Mapped[datetime]
    process: Mapped[str]
    until: Mapped[datetime]


class FormUse(Base):
    """A money form that was used: the guard against doing it twice (operations 12)."""

    __tablename__ = "form_use"
    __table_args__ = (STRICT,)

    nonce: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    action: Mapped[str]
    subject_id: Mapped[str]
    values_sha256: Mapped[str]
    result: Mapped[str]
    used_at: Mapped[datetime]


class Outbox(Base):
    """Work that follows a commit: mail and the like, taken by the worker.

    ``next_run_at`` is the next try, or until when a worker has it; ``gave_up_at`` leaves it to a person (X6), who may drop it.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "done_at", "created_at"), Index(None, "document_id"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    payload: Mapped[str]
    message_id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None]
    done_at: Mapped[datetime | None]
    next_run_at: Mapped[datetime | None]
    gave_up_at: Mapped[datetime | None]
    dropped_by: Mapped[str | None]


class MailSecret(Base):
    """The one row with the mail server's password, encrypted and bound to server and user name (security 53)."""

    __tablename__ = "mail_secret"
    __table_args__ = (CheckConstraint("id = 1", "single"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    sealed: Mapped[bytes]
    changed_at: Mapped[datetime]


class Batch(Base):
    """Many at once: one act asked for over chosen orders or documents, done row by row by the worker."""

    __tablename__ = "batch"
    __table_args__ = (Index(None, "ended_at", "id"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    act: Mapped[str]
    options: Mapped[str]
    created_by: Mapped[str]
    created_by_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"))
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class BatchRow(Base):
    """One order or document of a batch with its result. ``nonce`` is that of the money form it stands for."""

    __tablename__ = "batch_row"
    __table_args__ = (
        UniqueConstraint("batch_id", "position"),
        CheckConstraint("state IN ('waiting','running','done','refused','failed')", "state"),
        CheckConstraint("(order_id IS NULL) <> (document_id IS NULL)", "subject"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id"))
    position: Mapped[int]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("sales_order.id"))
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    nonce: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(default="waiting")
    tries: Mapped[int] = mapped_column(default=0)
    result: Mapped[str | None]
    made_document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    changed_at: Mapped[datetime]


# --- Customers, articles, stock -----------------------------------------------------------------------------------------


class Customer(Base):
    """A customer card; documents keep their own frozen copy of name and address."""

    __tablename__ = "customer"
    __table_args__ = (
        Index(None, "name", postgresql_ops={"name": "text_pattern_ops"}),
        Index(None, "name", "id"),
        Index(None, "email"),
        Index(None, "organisation_number"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    name: Mapped[str]
    organisation_number: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    street: Mapped[str] = mapped_column(default="")
    street2: Mapped[str] = mapped_column(default="")
    postal_code: Mapped[str] = mapped_column(default="")
    city: Mapped[str] = mapped_column(default="")
    country: Mapped[str] = mapped_column(default="SE")
    note: Mapped[str] = mapped_column(default="")
    payment_days: Mapped[int | None]
    anonymised_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class VatRate(Base):
    """The rate of a VAT class from a day on, hundredths of a percent (accounting 8: rates are dated)."""

    __tablename__ = "vat_rate"
    __table_args__ = (CheckConstraint("rate BETWEEN 0 AND 10000", "rate"), STRICT)

    vat_class: Mapped[str] = mapped_column(primary_key=True)
    valid_from: Mapped[date] = mapped_column(primary_key=True)
    rate: Mapped[int]


class Article(Base):
    """An article. ``number_key`` is the number in one normal form, unique."""

    __tablename__ = "article"
    __table_args__ = (CheckConstraint("price_minor >= 0", "price"), CheckConstraint("cost_minor >= 0", "cost"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str]
    number_key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    gtin: Mapped[str | None] = mapped_column(unique=True)
    unit: Mapped[str] = mapped_column(default="st")
    kind: Mapped[LineKind] = mapped_column(EnumText(LineKind), default=LineKind.ARTICLE)
    price_minor: Money
    cost_minor: Money = mapped_column(default=0)
    vat_class: Mapped[str]
    stock_kept: Mapped[bool] = mapped_column(default=True)
    may_go_negative: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)


class Warehouse(Base):
    """A place where stock lies."""

    __tablename__ = "warehouse"
    __table_args__ = (STRICT,)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True)


class StockMovement(Base):
    """One change of a balance; the balance is the sum of these. Append-only."""

    __tablename__ = "stock_movement"
    __table_args__ = (
        Index(None, "article_id", "warehouse_id", "quantity_milli"),
        UniqueConstraint("delivery_line_id"),
        UniqueConstraint("document_line_id", "kind"),
        Index(None, "stocktake_id", "article_id", unique=True),
        CheckConstraint("quantity_milli <> 0", "quantity"),
        CheckConstraint("kind <> 'delivery' OR delivery_line_id IS NOT NULL", "delivery"),
        CheckConstraint("kind <> 'return' OR document_line_id IS NOT NULL", "return"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
    warehouse_id: Mapped[int] = mapped_column(ForeignKey("warehouse.id"))
    quantity_milli: Mapped[int]
    kind: Mapped[MovementKind] = mapped_column(EnumText(MovementKind))
    delivery_line_id: Mapped[int | None] = mapped_column(ForeignKey("delivery_line.id"))
    document_line_id: Mapped[int | None] = mapped_column(ForeignKey("document_line.id"), index=True)
    stocktake_id: Mapped[int | None] = mapped_column(ForeignKey("stocktake.id"))
    reason: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]
    by: Mapped[str]


class Stocktake(Base):
    """What lies in a warehouse, counted by people; one at a time there. Its differences are booked once, as movements (B28).

    ``uncounted_to_zero``: what nobody counted was booked as nothing left.
    """

    __tablename__ = "stocktake"
    __table_args__ = (
        Index(
            None,
            "warehouse_id",
            unique=True,
            **_of_rows("state = 'open'"),
        ),
        CheckConstraint("state IN ('open','booked','discarded')", "state"),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", "ended"),
        CheckConstraint("uncounted_to_zero = 0 OR state = 'booked'", "zero"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    warehouse_id: Mapped[int] = mapped_column(ForeignKey("warehouse.id"))
    state: Mapped[StocktakeState] = mapped_column(EnumText(StocktakeState), default=StocktakeState.OPEN)
    note: Mapped[str] = mapped_column(default="")
    uncounted_to_zero: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime]
    started_by: Mapped[str]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
    warehouse: Mapped[Warehouse] = relationship()


class StocktakeCount(Base):
    """How many of an article were counted, thousandths, and what its balance was when that was last said.

    The difference is counted less that balance, whatever moves afterwards.
    """

    __tablename__ = "stocktake_count"
    __table_args__ = (CheckConstraint("counted_milli >= 0", "counted"), STRICT)

    stocktake_id: Mapped[int] = mapped_column(ForeignKey("stocktake.id"), primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"), primary_key=True)
    counted_milli: Mapped[int]
    balance_milli: Mapped[int]
    counted_at: Mapped[datetime]
    counted_by: Mapped[str]
    article: Mapped[Article] = relationship()


# --- Klarna accounts, orders, deliveries --------------------------------------------------------------------------------


class KlarnaAccount(Base):
    """One store id at Klarna or Kustom. Credentials are encrypted; a sandbox address alone is typed (operations 15.3)."""

    __tablename__ = "klarna_account"
    __table_args__ = (
        CheckConstraint("provider IN ('klarna','kustom')", "provider"),
        CheckConstraint("region IN ('eu','na','oc')", "region"),
        CheckConstraint("environment IN ('live','playground','sandbox')", "environment"),
        CheckConstraint("(environment = 'sandbox') = (sandbox_url IS NOT NULL)", "sandbox_url"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    store_id: Mapped[str] = mapped_column(unique=True)
    provider: Mapped[str] = mapped_column(default="klarna")
    region: Mapped[str] = mapped_column(default="eu")
    environment: Mapped[str]
    sandbox_url: Mapped[str | None]
    username: Mapped[str]
    secret: Mapped[bytes]
    buyer: Mapped[str] = mapped_column(default="Klarna Bank AB (publ), 556737-0431")
    fees_from: Mapped[FeesFrom] = mapped_column(
        EnumText(FeesFrom), default=FeesFrom.SWEDEN, server_default=text("'sweden'")
    )
    active: Mapped[bool] = mapped_column(default=True)
    breaker: Mapped[str | None]
    breaker_until: Mapped[datetime | None]
    breaker_since: Mapped[datetime | None]
    settlements_read_at: Mapped[datetime | None]
    settlements_error: Mapped[str | None]
    tested_at: Mapped[datetime | None]
    test_result: Mapped[str | None]


class PaymentMethod(Base):
    """A way to pay, with its words on documents (B32)."""

    __tablename__ = "payment_method"
    __table_args__ = (STRICT,)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[PaymentKind] = mapped_column(EnumText(PaymentKind))
    name_sv: Mapped[str]
    name_en: Mapped[str]
    heading_sv: Mapped[str] = mapped_column(default="")
    heading_en: Mapped[str] = mapped_column(default="")
    document_name_sv: Mapped[str] = mapped_column(default="", server_default=text("''"))
    document_name_en: Mapped[str] = mapped_column(default="", server_default=text("''"))
    active: Mapped[bool] = mapped_column(default=True)


AT_WORK = (
    "state = 'open' AND (delivered <> 'all' OR invoiced <> 'all')"
    " AND (icon IS NULL OR icon <> 'cancelled' OR invoiced = 'part')"
)
"""Orders with something left to deliver or invoice: few, however many are done. Indexes of their own find and sort them."""
_WORKED = {
    "work": ("delivered", "invoiced", "id"),
    "work_ordered_at": ("ordered_at", "id"),
    "work_total_minor": ("total_minor", "id"),
}


class Order(Base):
    """An order; the Klarna columns are what Klarna showed at ``klarna_read_at``, minor units.

    ``delivered``, ``invoiced``, ``icon`` and ``total_minor`` are derived for the list (orders.refresh) and checked by
    ``flask verify``.
    ``source_key`` is what an interface or a file calls the order, so that the same one never comes in twice. ``hold_reason``
    says why nothing may be delivered although Klarna had accepted the purchase. ``changed_at`` is the last ``orders.refresh``.
    """

    __tablename__ = "sales_order"
    __table_args__ = (
        Index(None, "ordered_at", "id"),
        Index(None, "customer_id"),
        Index(None, "shop_number"),
        Index(None, "klarna_reference"),
        Index(None, "delivered", "invoiced", "id"),
        Index(None, "klarna_status", "expires_at"),
        Index(None, "total_minor", "id"),
        Index(None, "icon", "id"),
        Index(None, "source", "id"),
        Index(
            "ix_sales_order_held",
            "held_at",
            **_of_rows("hold_reason IS NOT NULL"),
        ),
        Index(
            "ix_sales_order_cancelled",
            "id",
            **_of_rows("state = 'cancelled'"),
        ),
        Index(None, "changed_at", "id"),
        Index(None, "icon", "ordered_at", "id"),
        Index(None, "source", "ordered_at", "id"),
        Index(
            "ix_sales_order_cancelled_ordered_at",
            "ordered_at",
            "id",
            **_of_rows("state = 'cancelled'"),
        ),
        *(Index(f"ix_sales_order_{name}", *columns, **_of_rows(AT_WORK)) for name, columns in _WORKED.items()),
        CheckConstraint("delivered IN ('none','part','all')", "delivered"),
        CheckConstraint("invoiced IN ('none','part','all')", "invoiced"),
        CheckConstraint("(klarna_order_id IS NULL) = (account_id IS NULL)", "klarna_link"),
        CheckConstraint("source IN ('hand','klarna','csv','api')", "source"),
        CheckConstraint("(hold_reason IS NULL) = (held_at IS NULL)", "hold"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    version: Mapped[int] = mapped_column(default=1)
    state: Mapped[OrderState] = mapped_column(EnumText(OrderState), default=OrderState.OPEN)
    shop_number: Mapped[str | None]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    payment_method_id: Mapped[int] = mapped_column(ForeignKey("payment_method.id"))
    currency: Mapped[str] = mapped_column(default="SEK")
    ordered_at: Mapped[datetime]
    party: Mapped[str]
    note: Mapped[str] = mapped_column(default="")
    delivered: Mapped[str] = mapped_column(default="none")
    invoiced: Mapped[str] = mapped_column(default="none")
    icon: Mapped[str | None]
    total_minor: Money = mapped_column(default=0, server_default=text("0"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("klarna_account.id"))
    klarna_order_id: Mapped[str | None] = mapped_column(unique=True)
    klarna_reference: Mapped[str | None]
    klarna_status: Mapped[KlarnaStatus | None] = mapped_column(EnumText(KlarnaStatus))
    fraud_status: Mapped[str | None]
    klarna_method: Mapped[str | None]
    authorized_minor: Mapped[int | None]
    captured_minor: Mapped[int | None]
    refunded_minor: Mapped[int | None]
    remaining_minor: Mapped[int | None]
    expires_at: Mapped[datetime | None]
    klarna_read_at: Mapped[datetime | None]
    source: Mapped[str] = mapped_column(default="hand", server_default="hand")
    source_key: Mapped[str | None] = mapped_column(unique=True, index=True)
    hold_reason: Mapped[str | None]
    held_at: Mapped[datetime | None]
    changed_at: Mapped[datetime | None]
    lines: Mapped[list[OrderLine]] = relationship(order_by="OrderLine.position", back_populates="order")
    customer: Mapped[Customer] = relationship()
    payment_method: Mapped[PaymentMethod] = relationship()
    account: Mapped[KlarnaAccount | None] = relationship()


class OrderLine(Base):
    """A row of an order. Unit price and discount include VAT; the discount is for the whole row."""

    __tablename__ = "sales_order_line"
    __table_args__ = (
        UniqueConstraint("order_id", "position"),
        CheckConstraint("quantity_milli > 0", "quantity"),
        CheckConstraint("discount_minor >= 0", "discount"),
        CheckConstraint("vat_rate BETWEEN 0 AND 10000", "vat_rate"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("sales_order.id"))
    position: Mapped[int]
    kind: Mapped[LineKind] = mapped_column(EnumText(LineKind))
    article_id: Mapped[int | None] = mapped_column(ForeignKey("article.id"))
    article_number: Mapped[str | None]
    name: Mapped[str]
    unit: Mapped[str] = mapped_column(default="st")
    quantity_milli: Mapped[int]
    unit_price_minor: Money
    discount_minor: Money = mapped_column(default=0)
    vat_rate: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="lines")
    article: Mapped[Article | None] = relationship()


class OrderHold(Base):
    """A stop after acceptance, or its end, with who, when and why. Append-only.

    ``reason`` is Klarna's code where the order was stopped, and a person's words where the stop was lifted.
    """

    __tablename__ = "order_hold"
    __table_args__ = (CheckConstraint("what IN ('held','lifted')", "what"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("sales_order.id"), index=True)
    what: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[str]


class OrderUpload(Base):
    """A file of orders as it came, kept between its preview and its reading in, and afterwards with what it made."""

    __tablename__ = "order_upload"
    __table_args__ = (STRICT,)

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(index=True)
    file_name: Mapped[str]
    content: Mapped[bytes]
    received_at: Mapped[datetime]
    received_by: Mapped[str]
    taken_at: Mapped[datetime | None]
    taken_by: Mapped[str | None]
    result: Mapped[str | None]


class Delivery(Base):
    """Goods that left, and how; a fact of its own whatever becomes of the invoice (F20)."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("order_id", "ordinal"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("sales_order.id"))
    ordinal: Mapped[int]
    warehouse_id: Mapped[int] = mapped_column(ForeignKey("warehouse.id"))
    carrier: Mapped[str] = mapped_column(default="")
    tracking_number: Mapped[str] = mapped_column(default="")
    tracking_uri: Mapped[str] = mapped_column(default="")
    delivered_at: Mapped[datetime]
    delivered_by: Mapped[str]
    lines: Mapped[list[DeliveryLine]] = relationship(order_by="DeliveryLine.id")
    warehouse: Mapped[Warehouse] = relationship()


class DeliveryLine(Base):
    """How much of an order row a delivery holds."""

    __tablename__ = "delivery_line"
    __table_args__ = (
        UniqueConstraint("delivery_id", "order_line_id"),
        Index(None, "order_line_id"),
        CheckConstraint("quantity_milli > 0", "quantity"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"))
    order_line_id: Mapped[int] = mapped_column(ForeignKey("sales_order_line.id"))
    quantity_milli: Mapped[int]
    order_line: Mapped[OrderLine] = relationship()


# --- Documents ----------------------------------------------------------------------------------------------------------


WITHOUT = "without_klarna_reason NOT IN ('ordinary','nothing_to_pay')"
"""Documents that Klarna should have heard of and was not told; word for word the condition of an index."""
SORTED = ("listed_on", "listed_basis", "listed_method", "type", "open_minor", "listed_paid", "listed_klarna")
"""What the lists of documents are sorted by, beside the number and the customer."""
_LISTED_PAID = (
    "CASE WHEN state <> 'issued' THEN 0 WHEN open_minor = 0 THEN 3"
    " WHEN kind = 'invoice' AND (open_minor < 0 OR open_minor > gross_minor) THEN 4"
    " WHEN kind = 'credit_note' AND (open_minor > 0 OR -open_minor > gross_minor) THEN 4"
    " WHEN abs(open_minor) = gross_minor THEN 1 ELSE 2 END"
)
_LISTED_KLARNA = (
    "CASE WHEN state = 'issued' AND issued_by_op_id IS NOT NULL THEN CASE WHEN kind = 'invoice' THEN 3 ELSE 4 END"
    " WHEN with_klarna = 0 THEN 0 WHEN state = 'refused' THEN 2 WHEN state = 'pending' THEN 1 ELSE 0 END"
)


AT_KLARNA = "open_minor <> 0 AND (issued_by_op_id IS NOT NULL OR without_klarna_reason = 'credited_in_portal')"
"""What Klarna owes or is owed: open, and carried out at Klarna, be it through its portal. The condition of an index."""


class Document(Base):
    """An invoice or a credit note (operations 2.3).

    ``gross_minor`` and ``vat_minor`` are set with the number and never change; ``open_minor`` is what remains to be paid
    (negative for a credit note), kept by ledger.post alone and checked against a full re-add by ``flask verify`` (A9).
    ``replaces_id`` names a void or refused document whose act turned out to have happened after all (operations 9 and 13).

    The ``listed_…`` columns are what lists sort by: the database works four of them out from their row, and takes the
    payment method from the order when the document is made.
    """

    __tablename__ = "document"
    __table_args__ = (
        UniqueConstraint("series", "number"),
        UniqueConstraint("number_text"),
        UniqueConstraint("issued_by_op_id"),
        Index(None, "kind", "id"),
        Index(None, "order_id"),
        Index(None, "original_id"),
        Index(None, "state", "kind"),
        Index(None, "paid_reference"),
        Index(
            "ix_document_replaces_id",
            "replaces_id",
            **_of_rows("replaces_id IS NOT NULL"),
        ),
        *(Index(None, column, "id") for column in SORTED),
        Index(
            "ix_document_owed",
            "kind",
            "with_klarna",
            "listed_on",
            "currency",
            "open_minor",
            **_of_rows("open_minor <> 0"),
        ),
        Index(
            "ix_document_at_klarna",
            "kind",
            "listed_on",
            "currency",
            "open_minor",
            **_of_rows(AT_KLARNA),
        ),
        Index(
            "ix_document_open",
            "number",
            **_of_rows("open_minor <> 0"),
        ),
        *(
            Index(f"ix_document_{what}_{column}", column, "id", **_of_rows(where))
            for what, where in (("unpaid", "open_minor <> 0"), ("note", "kind <> 'invoice'"))
            for column in SORTED
        ),
        Index("ix_document_without", "id", **_of_rows(WITHOUT)),
        CheckConstraint("(number IS NULL) = (state = 'draft')", "number"),
        CheckConstraint(
            "(number IS NULL) = (series IS NULL) AND (number IS NULL) = (number_text IS NULL)"
            " AND (number IS NULL) = (number_date IS NULL) AND (number IS NULL) = (snapshot IS NULL)"
            " AND (number IS NULL) = (snapshot_sha256 IS NULL) AND (number IS NULL) = (party_sha256 IS NULL)",
            "numbered_whole",
        ),
        CheckConstraint("(state = 'issued') = (issue_date IS NOT NULL)", "issue_date"),
        CheckConstraint("issue_date IS NULL OR issue_date >= number_date", "issued_after_number"),
        CheckConstraint("state <> 'refused' OR refusal_kind IS NOT NULL", "refusal_kind"),
        CheckConstraint("(state = 'void') = (void_reason IS NOT NULL)", "void_reason"),
        CheckConstraint("kind <> 'credit_note' OR type IN ('credit','free_credit')", "credit_type"),
        CheckConstraint("kind <> 'invoice' OR type IN ('delivery','final','advance','replacement')", "invoice_type"),
        CheckConstraint("type <> 'credit' OR original_id IS NOT NULL", "original"),
        CheckConstraint("issued_by_op_id IS NULL OR state = 'issued'", "op_only_issued"),
        CheckConstraint(
            "state <> 'issued' OR issued_by_op_id IS NOT NULL OR without_klarna_reason IS NOT NULL",
            "issued_by_something",
        ),
        STRICT,
    )
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - as the ORM wants it

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[DocKind] = mapped_column(EnumText(DocKind))
    type: Mapped[DocType] = mapped_column(EnumText(DocType))
    state: Mapped[DocState] = mapped_column(EnumText(DocState), default=DocState.DRAFT)
    version: Mapped[int] = mapped_column(default=1)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("sales_order.id"))
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    original_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    currency: Mapped[str]
    with_klarna: Mapped[bool]
    without_klarna_reason: Mapped[WithoutKlarna | None] = mapped_column(EnumText(WithoutKlarna))
    without_klarna_note: Mapped[str | None]
    portal_refund_confirmed: Mapped[bool] = mapped_column(default=False)
    series: Mapped[str | None]
    number: Mapped[int | None]
    number_text: Mapped[str | None]
    number_date: Mapped[date | None]
    issue_date: Mapped[date | None]
    snapshot: Mapped[str | None]
    snapshot_sha256: Mapped[str | None]
    party: Mapped[str | None]
    party_sha256: Mapped[str | None]
    gross_minor: Mapped[int | None]
    vat_minor: Mapped[int | None]
    open_minor: Mapped[int] = mapped_column(default=0)
    paid_at: Mapped[date | None]
    paid_reference: Mapped[str | None]
    advance_percent: Mapped[int | None]
    due_date: Mapped[date | None]
    ocr: Mapped[str | None] = mapped_column(unique=True, index=True)
    release_rest: Mapped[bool] = mapped_column(default=False, server_default=text("0"))
    print_wanted: Mapped[bool] = mapped_column(default=False, server_default=text("0"))
    mail_to: Mapped[str | None]
    restock: Mapped[bool] = mapped_column(default=False)
    restock_warehouse_id: Mapped[int | None] = mapped_column(ForeignKey("warehouse.id"))
    refusal_kind: Mapped[RefusalKind | None] = mapped_column(EnumText(RefusalKind))
    issued_by_op_id: Mapped[str | None] = mapped_column(ForeignKey("klarna_op.id", use_alter=True))
    void_by: Mapped[str | None]
    void_at: Mapped[datetime | None]
    void_reason: Mapped[str | None]
    reversed_by: Mapped[str | None]
    reversed_at: Mapped[datetime | None]
    reversed_reason: Mapped[str | None]
    created_by: Mapped[str]
    created_by_id: Mapped[int | None]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    listed_on: Mapped[date] = mapped_column(
        Computed("coalesce(issue_date, number_date, '9999-12-31')"), nullable=True, deferred=True
    )
    listed_basis: Mapped[int] = mapped_column(Computed("coalesce(order_id, 0)"), nullable=True, deferred=True)
    listed_paid: Mapped[int] = mapped_column(Computed(_LISTED_PAID), nullable=True, deferred=True)
    listed_klarna: Mapped[int] = mapped_column(Computed(_LISTED_KLARNA), nullable=True, deferred=True)
    listed_method: Mapped[int] = mapped_column(server_default=text("0"), deferred=True)
    lines: Mapped[list[DocumentLine]] = relationship(
        order_by="DocumentLine.position", back_populates="document", foreign_keys="DocumentLine.document_id"
    )
    order: Mapped[Order | None] = relationship()
    customer: Mapped[Customer] = relationship()
    original: Mapped[Document | None] = relationship(remote_side="Document.id", foreign_keys="Document.original_id")
    replaces: Mapped[Document | None] = relationship(remote_side="Document.id", foreign_keys="Document.replaces_id")


class DocumentLine(Base):
    """A row of a document; frozen with the number. ``gross_minor`` includes VAT and is after discount.

    ``order_line_id`` on invoices, ``original_line_id`` on credit notes. In a draft a removed row waits to be put back (K26).
    """

    __tablename__ = "document_line"
    __table_args__ = (
        UniqueConstraint("document_id", "position"),
        Index(None, "order_line_id"),
        Index(None, "original_line_id"),
        Index(
            "ix_document_line_deducts",
            "deducts_id",
            **_of_rows("deducts_id IS NOT NULL"),
        ),
        CheckConstraint("quantity_milli >= 0", "quantity"),
        CheckConstraint("restock_milli BETWEEN 0 AND quantity_milli", "restock"),
        CheckConstraint("vat_rate BETWEEN 0 AND 10000", "vat_rate"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("document.id"))
    position: Mapped[int]
    kind: Mapped[LineKind] = mapped_column(EnumText(LineKind))
    order_line_id: Mapped[int | None] = mapped_column(ForeignKey("sales_order_line.id"))
    original_line_id: Mapped[int | None] = mapped_column(ForeignKey("document_line.id"))
    deducts_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    article_id: Mapped[int | None] = mapped_column(ForeignKey("article.id"))
    article_number: Mapped[str | None]
    name: Mapped[str]
    unit: Mapped[str] = mapped_column(default="st")
    quantity_milli: Mapped[int]
    unit_price_minor: Money
    discount_minor: Money = mapped_column(default=0)
    gross_minor: Money
    vat_rate: Mapped[int]
    vat_minor: Money
    klarna_reference: Mapped[str | None]
    restock_milli: Mapped[int] = mapped_column(default=0)
    restock_condition: Mapped[str] = mapped_column(default="")
    removed: Mapped[bool] = mapped_column(default=False)
    document: Mapped[Document] = relationship(back_populates="lines", foreign_keys=[document_id])
    original_line: Mapped[DocumentLine | None] = relationship(remote_side="DocumentLine.id")
    article: Mapped[Article | None] = relationship()


class GoodsReturn(Base):
    """What became of the goods of a credited row after the credit note was issued: they came, or never will. Append-only.

    Whole goods have a warehouse and a stock movement of the same row; damaged ones neither. One for a row, for good.
    """

    __tablename__ = "goods_return"
    __table_args__ = (
        UniqueConstraint("document_line_id"),
        CheckConstraint("quantity_milli >= 0 AND (quantity_milli = 0) = (condition = 'never')", "quantity"),
        CheckConstraint("(warehouse_id IS NOT NULL) = (condition = 'whole')", "warehouse"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    document_line_id: Mapped[int] = mapped_column(ForeignKey("document_line.id"))
    quantity_milli: Mapped[int]
    condition: Mapped[Condition] = mapped_column(EnumText(Condition))
    warehouse_id: Mapped[int | None] = mapped_column(ForeignKey("warehouse.id"))
    note: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[str]


class DraftVisit(Base):
    """Somebody who has a draft open now; removed when it is closed or has not been heard of for a while."""

    __tablename__ = "draft_visit"
    __table_args__ = (STRICT,)

    document_id: Mapped[int] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), primary_key=True)
    since: Mapped[datetime]
    seen_at: Mapped[datetime]


class ApprovalRequest(Base):
    """A draft above the limit of whoever made it, put before Finance; who approved is who created the document (B31)."""

    __tablename__ = "approval_request"
    __table_args__ = (STRICT,)

    document_id: Mapped[int] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"), primary_key=True)
    asked_by: Mapped[str]
    asked_by_id: Mapped[int]
    asked_at: Mapped[datetime]
    gross_minor: Mapped[int]


class DocumentEvent(Base):
    """A move of a document; its timeline. Append-only."""

    __tablename__ = "document_event"
    __table_args__ = (UniqueConstraint("document_id", "seq"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("document.id"))
    seq: Mapped[int]
    from_state: Mapped[DocState | None] = mapped_column(EnumText(DocState))
    to_state: Mapped[DocState] = mapped_column(EnumText(DocState))
    at: Mapped[datetime]
    actor: Mapped[str]
    op_id: Mapped[str | None]
    reason: Mapped[str] = mapped_column(default="")


# --- Acts at Klarna -----------------------------------------------------------------------------------------------------

OPEN_OP = "state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"


class KlarnaOp(Base):
    """One intended act at Klarna, never deleted (operations 2.1)."""

    __tablename__ = "klarna_op"
    __table_args__ = (
        Index(
            "uq_klarna_op_open_order",
            "klarna_order_id",
            unique=True,
            **_of_rows(OPEN_OP),
        ),
        Index(
            "uq_klarna_op_open_document",
            "document_id",
            unique=True,
            **_of_rows(OPEN_OP),
        ),
        Index(
            "uq_klarna_op_confirmed_document",
            "document_id",
            unique=True,
            **_of_rows("state = 'CONFIRMED'"),
        ),
        Index("ix_klarna_op_open", "next_run_at", **_of_rows(OPEN_OP)),
        UniqueConstraint("document_id", "try_no"),
        UniqueConstraint("account_id", "kind", "klarna_object_id"),
        Index(None, "created_at"),
        Index(None, "order_id"),
        Index(None, "klarna_object_id"),
        Index(None, "klarna_short_ref"),
        CheckConstraint(
            "kind NOT IN ('CAPTURE','REFUND') OR document_id IS NOT NULL OR state = 'EXTERNAL'", "document"
        ),
        CheckConstraint("amount_minor BETWEEN 1 AND 200000000 OR amount_minor IS NULL", "amount"),
        CheckConstraint("kind NOT IN ('CAPTURE','REFUND') OR amount_minor IS NOT NULL", "amount_given"),
        STRICT,
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[OpKind] = mapped_column(EnumText(OpKind))
    origin: Mapped[Origin] = mapped_column(EnumText(Origin))
    account_id: Mapped[int] = mapped_column(ForeignKey("klarna_account.id"))
    environment: Mapped[str]
    installation_id: Mapped[str]
    order_id: Mapped[int] = mapped_column(ForeignKey("sales_order.id"))
    klarna_order_id: Mapped[str]
    try_no: Mapped[int] = mapped_column(default=1)
    amount_minor: Mapped[int | None]
    currency: Mapped[str | None]
    method: Mapped[str]
    path: Mapped[str]
    body: Mapped[bytes]
    body_sha256: Mapped[str]
    idempotency_key: Mapped[str] = mapped_column(unique=True)
    reference: Mapped[str | None]
    form_nonce: Mapped[str | None] = mapped_column(ForeignKey("form_use.nonce"), unique=True)
    accepted_difference_minor: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[str]
    created_by_id: Mapped[int | None]
    created_at: Mapped[datetime]
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    klarna_object_id: Mapped[str | None]
    klarna_event_at: Mapped[datetime | None]
    klarna_short_ref: Mapped[str | None]
    decided_by: Mapped[str | None]
    second_by: Mapped[str | None]
    decided_reason: Mapped[str | None]
    state: Mapped[OpState] = mapped_column(EnumText(OpState))
    version: Mapped[int] = mapped_column(default=1)
    attempts: Mapped[int] = mapped_column(default=0)
    first_sent_at: Mapped[datetime | None]
    last_sent_at: Mapped[datetime | None]
    post_allowed_until: Mapped[datetime | None]
    refused_on_retry: Mapped[bool] = mapped_column(default=False)
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    next_run_at: Mapped[datetime | None]
    asked_at: Mapped[datetime | None]
    record_failures: Mapped[int] = mapped_column(default=0)
    hold_reason: Mapped[str | None]


class KlarnaAttempt(Base):
    """A permission to send, written in T2. Append-only."""

    __tablename__ = "klarna_attempt"
    __table_args__ = (UniqueConstraint("op_id", "n"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    op_id: Mapped[str] = mapped_column(ForeignKey("klarna_op.id"))
    n: Mapped[int]
    permitted_at: Mapped[datetime]
    permitted_until: Mapped[datetime]
    sender: Mapped[str]
    by: Mapped[str]
    body_sha256: Mapped[str]
    idempotency_key: Mapped[str]
    look_at: Mapped[datetime | None]
    look_status: Mapped[str | None]
    look_captured: Mapped[int | None]
    look_refunded: Mapped[int | None]
    look_remaining: Mapped[int | None]


class KlarnaAnswer(Base):
    """The outcome of an attempt, at most one. Append-only."""

    __tablename__ = "klarna_answer"
    __table_args__ = (UniqueConstraint("attempt_id"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("klarna_attempt.id"))
    first_byte_at: Mapped[datetime | None]
    ended_at: Mapped[datetime]
    answer_class: Mapped[AnswerClass] = mapped_column(EnumText(AnswerClass))
    cause: Mapped[str | None]
    http_status: Mapped[int | None]
    error_code: Mapped[str | None]
    error_messages: Mapped[str | None]
    correlation_id: Mapped[str | None]
    object_id: Mapped[str | None]
    retry_after: Mapped[int | None]
    duration_ms: Mapped[int]
    body: Mapped[str]
    late: Mapped[bool] = mapped_column(default=False)


class KlarnaOpEvent(Base):
    """A change of state of an operation, or a note. Append-only."""

    __tablename__ = "klarna_op_event"
    __table_args__ = (UniqueConstraint("op_id", "seq"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    op_id: Mapped[str] = mapped_column(ForeignKey("klarna_op.id"))
    seq: Mapped[int]
    from_state: Mapped[OpState | None] = mapped_column(EnumText(OpState))
    to_state: Mapped[OpState] = mapped_column(EnumText(OpState))
    at: Mapped[datetime]
    actor: Mapped[str]
    evidence_kind: Mapped[str | None]
    evidence_ref: Mapped[str | None]
    evidence: Mapped[str] = mapped_column(default="")
    note: Mapped[str] = mapped_column(default="")


class OrderAmendment(Base):
    """The rows an UPDATE_AUTH stands for, as JSON: the order's rows when Klarna has agreed (B19)."""

    __tablename__ = "order_amendment"
    __table_args__ = (STRICT,)

    op_id: Mapped[str] = mapped_column(ForeignKey("klarna_op.id"), primary_key=True)
    lines: Mapped[str]


class KlarnaCall(Base):
    """A request to Klarna that moves no money, with its outcome: tracking, an address, a letter sent again, a due date."""

    __tablename__ = "klarna_call"
    __table_args__ = (
        CheckConstraint("outcome IN ('done','refused','unclear','not_sent')", "outcome"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("sales_order.id"), index=True)
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    kind: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[str]
    method: Mapped[str]
    path: Mapped[str]
    body: Mapped[str]
    idempotency_key: Mapped[str]
    outcome: Mapped[str]
    http_status: Mapped[int | None]
    error_code: Mapped[str | None]
    error_messages: Mapped[str | None]
    correlation_id: Mapped[str | None]


class Push(Base):
    """What Klarna or Kustom has told us, before it is believed: read back from Klarna by the worker (B16)."""

    __tablename__ = "push"
    __table_args__ = (
        Index(None, "handled_at", "next_run_at"),
        Index(None, "klarna_order_id"),
        CheckConstraint("kind IN ('order','fraud')", "kind"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("klarna_account.id"))
    kind: Mapped[str]
    klarna_order_id: Mapped[str]
    event: Mapped[str] = mapped_column(default="")
    received_at: Mapped[datetime]
    times: Mapped[int] = mapped_column(default=1)
    tries: Mapped[int] = mapped_column(default=0)
    next_run_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    handled_at: Mapped[datetime | None]
    result: Mapped[str | None]


class KlarnaBreak(Base):
    """A difference against Klarna that a person settles; never deleted (operations 13)."""

    __tablename__ = "klarna_break"
    __table_args__ = (
        Index(None, "state", "opened_at"),
        Index(None, "order_id"),
        Index(None, "op_id"),
        CheckConstraint("(state = 'closed') = (resolution IS NOT NULL)", "resolution"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[BreakKind] = mapped_column(EnumText(BreakKind))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("klarna_account.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("sales_order.id"))
    op_id: Mapped[str | None] = mapped_column(ForeignKey("klarna_op.id"))
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    payout_id: Mapped[int | None] = mapped_column(ForeignKey("payout.id"))
    row_id: Mapped[int | None] = mapped_column(ForeignKey("payout_row.id"))
    expected: Mapped[str] = mapped_column(default="")
    found: Mapped[str] = mapped_column(default="")
    difference_minor: Mapped[int] = mapped_column(default=0)
    currency: Mapped[str] = mapped_column(default="SEK")
    opened_at: Mapped[datetime]
    found_by: Mapped[str]
    owner: Mapped[str | None]
    state: Mapped[BreakState] = mapped_column(EnumText(BreakState), default=BreakState.OPEN)
    resolution: Mapped[str | None]
    reason: Mapped[str | None]
    closed_by: Mapped[str | None]
    closed_at: Mapped[datetime | None]
    voucher_id: Mapped[int | None] = mapped_column(ForeignKey("voucher.id"))


# --- The books ----------------------------------------------------------------------------------------------------------


class Account(Base):
    """An account of the chart; ``kind`` is SIE's T, S, K or I."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint("kind IN ('T','S','K','I')", "kind"),
        CheckConstraint("number BETWEEN 1000 AND 9999", "number"),
        STRICT,
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    kind: Mapped[str]
    vat_rate: Mapped[int | None]
    payment_account: Mapped[bool] = mapped_column(default=False)
    receivable: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    vat_box: Mapped[int | None]


class AccountChange(Base):
    """An account as a person left it: what it says from that moment on (B36). Append-only."""

    __tablename__ = "account_change"
    __table_args__ = (Index(None, "account"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[int] = mapped_column(ForeignKey("account.number"))
    name: Mapped[str]
    vat_rate: Mapped[int | None]
    vat_box: Mapped[int | None]
    payment_account: Mapped[bool]
    receivable: Mapped[bool]
    active: Mapped[bool]
    at: Mapped[datetime]
    by: Mapped[str]


class FiscalYear(Base):
    """A financial year; years neither overlap nor leave a gap (A6)."""

    __tablename__ = "fiscal_year"
    __table_args__ = (CheckConstraint("starts < ends", "order"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    starts: Mapped[date] = mapped_column(unique=True)
    ends: Mapped[date] = mapped_column(unique=True)


class PeriodLock(Base):
    """The day through which the books were locked, or unlocked again to; the last row rules. Append-only."""

    __tablename__ = "period_lock"
    __table_args__ = (STRICT,)

    id: Mapped[int] = mapped_column(primary_key=True)
    locked_through: Mapped[date | None]
    at: Mapped[datetime]
    by: Mapped[str]
    reason: Mapped[str]


class Voucher(Base):
    """A booked event; balances to zero; ``source`` is unique, so booking twice is impossible. Append-only."""

    __tablename__ = "voucher"
    __table_args__ = (
        UniqueConstraint("series", "fiscal_year_id", "number"),
        Index(None, "day"),
        Index(None, "document_id"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    series: Mapped[str]
    fiscal_year_id: Mapped[int] = mapped_column(ForeignKey("fiscal_year.id"))
    number: Mapped[int]
    day: Mapped[date]
    text: Mapped[str]
    source: Mapped[str] = mapped_column(unique=True)
    currency: Mapped[str] = mapped_column(default="SEK")
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    payout_id: Mapped[int | None] = mapped_column(ForeignKey("payout.id"))
    reverses_id: Mapped[int | None] = mapped_column(ForeignKey("voucher.id"), unique=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    previous_hash: Mapped[str]
    hash: Mapped[str]
    postings: Mapped[list[Posting]] = relationship(order_by="Posting.position")


class Posting(Base):
    """A row of a voucher: debit positive, credit negative, minor units. On a receivable account it names its document."""

    __tablename__ = "posting"
    __table_args__ = (
        UniqueConstraint("voucher_id", "position"),
        Index(None, "account", "voucher_id"),
        Index(
            "ix_posting_document",
            "document_id",
            **_of_rows("document_id IS NOT NULL"),
        ),
        CheckConstraint("amount_minor <> 0", "amount"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    voucher_id: Mapped[int] = mapped_column(ForeignKey("voucher.id"))
    position: Mapped[int]
    account: Mapped[int] = mapped_column(ForeignKey("account.number"))
    amount_minor: Money
    text: Mapped[str] = mapped_column(default="")
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    vat_rate: Mapped[int | None]


class KlarnaDay(Base):
    """What Klarna has activated and credited by our documents on a day: kept by triggers, re-added by ``flask verify``."""

    __tablename__ = "klarna_day"
    __table_args__ = (STRICT,)

    day: Mapped[date] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    activated_minor: Money
    credited_minor: Money


class Offset(Base):
    """An invoice closed against a credit note (K49). Append-only."""

    __tablename__ = "offset"
    __table_args__ = (CheckConstraint("amount_minor > 0", "amount"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("document.id"), index=True)
    credit_note_id: Mapped[int] = mapped_column(ForeignKey("document.id"), index=True)
    amount_minor: Money
    voucher_id: Mapped[int] = mapped_column(ForeignKey("voucher.id"), unique=True)
    override_reason: Mapped[str | None]
    at: Mapped[datetime]
    by: Mapped[str]


class Payment(Base):
    """A payment registered by hand (B7), a surplus booked away (B8), or a small difference that followed a payment (E14c).

    Amounts are what it pays of the document, negative for a surplus and for what was taken back. Append-only.
    """

    __tablename__ = "payment"
    __table_args__ = (
        CheckConstraint("amount_minor <> 0", "amount"),
        CheckConstraint("kind IN ('payment','surplus','residue')", "kind"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("document.id"), index=True)
    amount_minor: Money
    day: Mapped[date]
    account: Mapped[int] = mapped_column(ForeignKey("account.number"))
    voucher_id: Mapped[int] = mapped_column(ForeignKey("voucher.id"), unique=True)
    reason: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[str]
    kind: Mapped[str] = mapped_column(default="payment", server_default=text("'payment'"))
    follows_id: Mapped[int | None] = mapped_column(ForeignKey("payment.id"))


# --- Settlement readings ------------------------------------------------------------------------------------------------


class ReadingFile(Base):
    """A report as it came, found again by its hash; its bytes are ``ReadingPart``. Append-only."""

    __tablename__ = "reading_file"
    __table_args__ = (CheckConstraint("source IN ('api','upload','folder')", "source"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    source: Mapped[str]
    file_name: Mapped[str]
    received_at: Mapped[datetime]
    received_by: Mapped[str]


class ReadingPart(Base):
    """Some bytes of the report with this hash: its parts in their order are the report, byte for byte. Append-only."""

    __tablename__ = "reading_part"
    __table_args__ = (STRICT,)

    sha256: Mapped[str] = mapped_column(primary_key=True)
    part_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes]


class FolderFile(Base):
    """A file seen in the watched folder, by name, size and time: what became of it, so that it is not taken again."""

    __tablename__ = "folder_file"
    __table_args__ = (
        UniqueConstraint("name", "size_bytes", "modified_ns"),
        CheckConstraint("state IN ('read','wrong','aside')", "state"),
        CheckConstraint("(state = 'read') = (because IS NULL)", "because"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    size_bytes: Mapped[int]
    modified_ns: Mapped[int]
    state: Mapped[str]
    because: Mapped[str | None]
    seen_at: Mapped[datetime]


class Payout(Base):
    """One payout of one account: booked once, then never changed. Totals are magnitudes as Klarna states them.

    ``fees_from`` is kept as it was when the payout was booked.
    """

    __tablename__ = "payout"
    __table_args__ = (
        UniqueConstraint("account_id", "payment_reference"),
        Index(None, "payment_reference"),
        Index(None, "payout_date", "id"),
        CheckConstraint("(state = 'booked') = (voucher_id IS NOT NULL)", "booked"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    file_id: Mapped[int] = mapped_column(ForeignKey("reading_file.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("klarna_account.id"))
    payment_reference: Mapped[str]
    payout_date: Mapped[datetime]
    currency: Mapped[str]
    settlement_type: Mapped[str]
    totals: Mapped[str]
    settlement_minor: Money
    opening_debt_minor: Money
    closing_debt_minor: Money
    rows_hash: Mapped[str]
    row_count: Mapped[int]
    state: Mapped[PayoutState] = mapped_column(EnumText(PayoutState))
    parked_because: Mapped[str | None]
    booked_at: Mapped[datetime | None]
    booked_by: Mapped[str | None]
    voucher_id: Mapped[int | None] = mapped_column(ForeignKey("voucher.id", use_alter=True), unique=True)
    fees_from: Mapped[FeesFrom] = mapped_column(
        EnumText(FeesFrom), default=FeesFrom.SWEDEN, server_default=text("'sweden'")
    )
    account: Mapped[KlarnaAccount] = relationship()
    file: Mapped[ReadingFile] = relationship()


class PayoutRow(Base):
    """A row of a payout as Klarna wrote it; ``amount_minor`` has the sign of its effect on the payout. Append-only."""

    __tablename__ = "payout_row"
    __table_args__ = (
        UniqueConstraint("payout_id", "row_no"),
        Index(None, "capture_reference"),
        Index(None, "refund_reference"),
        Index(None, "klarna_order_id"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    payout_id: Mapped[int] = mapped_column(ForeignKey("payout.id"))
    row_no: Mapped[int]
    row_key: Mapped[str]
    type: Mapped[str]
    detailed_type: Mapped[str]
    amount_minor: Money
    vat_minor: Money = mapped_column(default=0)
    vat_rate: Mapped[int | None]
    klarna_order_id: Mapped[str | None]
    short_order_id: Mapped[str | None]
    capture_id: Mapped[str | None]
    refund_id: Mapped[str | None]
    merchant_reference1: Mapped[str | None]
    merchant_reference2: Mapped[str | None]
    capture_reference: Mapped[str | None]
    refund_reference: Mapped[str | None]
    happened_at: Mapped[datetime | None]
    fault: Mapped[str | None]


class RowMatch(Base):
    """Where a row stands and which document it belongs to: a link, so that undoing restores both sides (B4)."""

    __tablename__ = "row_match"
    __table_args__ = (
        Index(None, "document_id"),
        Index(None, "pile"),
        CheckConstraint("pile <> 'handled' OR (handled_by IS NOT NULL AND handled_at IS NOT NULL)", "handled"),
        STRICT,
    )

    row_id: Mapped[int] = mapped_column(ForeignKey("payout_row.id"), primary_key=True, autoincrement=False)
    pile: Mapped[Pile] = mapped_column(EnumText(Pile))
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    op_id: Mapped[str | None] = mapped_column(ForeignKey("klarna_op.id"))
    because: Mapped[str | None]
    note: Mapped[str | None]
    handled_by: Mapped[str | None]
    handled_at: Mapped[datetime | None]


class RowShare(Base):
    """A part of a row that was split over several documents; the parts add up to the row (B4)."""

    __tablename__ = "row_share"
    __table_args__ = (CheckConstraint("amount_minor <> 0", "amount"), STRICT)

    row_id: Mapped[int] = mapped_column(
        ForeignKey("row_match.row_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    document_id: Mapped[int] = mapped_column(
        ForeignKey("document.id"), primary_key=True, autoincrement=False, index=True
    )
    amount_minor: Money


class RowPlacing(Base):
    """A booked row that a person gave to another document, or to none, with the voucher that moved it. Append-only."""

    __tablename__ = "row_placing"
    __table_args__ = (
        CheckConstraint("amount_minor <> 0", "amount"),
        CheckConstraint("coalesce(from_document_id, 0) <> coalesce(to_document_id, 0)", "moved"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    row_id: Mapped[int] = mapped_column(ForeignKey("payout_row.id"), index=True)
    from_document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    to_document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))
    amount_minor: Money
    voucher_id: Mapped[int] = mapped_column(ForeignKey("voucher.id"), unique=True)
    reason: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[str]


# --- The bank -----------------------------------------------------------------------------------------------------------


class BankStatement(Base):
    """A statement of the bank's as it came, byte for byte, found again by its hash. Append-only."""

    __tablename__ = "bank_statement"
    __table_args__ = (CheckConstraint("kind IN ('camt','csv')", "kind"), STRICT)

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    file_name: Mapped[str]
    content: Mapped[bytes]
    received_at: Mapped[datetime]
    received_by: Mapped[str]


class BankEntry(Base):
    """Money that came to the company's bank account; ``entry_key`` keeps it from coming in twice. Append-only."""

    __tablename__ = "bank_entry"
    __table_args__ = (
        Index(None, "statement_id"),
        Index(None, "amount_minor"),
        Index(None, "from_klarna", "id"),
        CheckConstraint("amount_minor > 0", "amount"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    statement_id: Mapped[int] = mapped_column(ForeignKey("bank_statement.id"))
    place: Mapped[int]
    entry_key: Mapped[str] = mapped_column(unique=True)
    account: Mapped[str]
    day: Mapped[date]
    amount_minor: Money
    currency: Mapped[str]
    payer: Mapped[str]
    text: Mapped[str]
    bank_reference: Mapped[str]
    from_klarna: Mapped[bool]


class BankTie(Base):
    """A deposit tied to the payout it is, or with ``undoes_id`` that tie untied again. Append-only."""

    __tablename__ = "bank_tie"
    __table_args__ = (
        Index(None, "entry_id"),
        Index(None, "payout_id"),
        CheckConstraint("how IN ('reference','hand')", "how"),
        CheckConstraint("how = 'reference' OR reason <> ''", "reason"),
        STRICT,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("bank_entry.id"))
    payout_id: Mapped[int] = mapped_column(ForeignKey("payout.id"))
    undoes_id: Mapped[int | None] = mapped_column(ForeignKey("bank_tie.id"), unique=True)
    how: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[str]
