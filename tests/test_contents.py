"""A PostgreSQL database serves one test after the other: what one leaves behind, the next does not find."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

import db
from db import reading, writing
from models import Customer, NumberSeries, User
from tests import databases, worlds
from tests.builders import a_customer

pytestmark = pytest.mark.only_on("postgres")


def everything(session: Session) -> dict[str, list[str]]:
    tables = [table.name for table in db.Base.metadata.sorted_tables]
    found = {name: sorted(session.scalars(sa.text(f'SELECT t::text FROM "{name}" t'))) for name in tables}
    found["counters"] = sorted(session.scalars(sa.text("SELECT s::text FROM pg_sequences s")))
    return found


def renew() -> None:
    assert isinstance(worlds.here, worlds.Place)
    worlds.here.kind.renew(worlds.here.url, "company")


def test_rows_and_counters_are_as_they_were(books: Flask) -> None:
    with reading() as session:
        before = everything(session)
    for _ in range(2):
        with writing() as session:
            made = a_customer(session).id
            session.execute(sa.update(User).values(name="Någon"))
            session.execute(sa.delete(NumberSeries).where(NumberSeries.code == "customer"))
        with reading() as session:
            assert everything(session) != before
        renew()
        with reading() as session:
            assert everything(session) == before
    with writing() as session:
        assert a_customer(session).id == made, "the counter begins where it began"


def test_who_stays_connected_is_as_new(books: Flask) -> None:
    with db.db.engine.connect() as connection:
        number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        connection.exec_driver_sql("SET search_path = elsewhere")
        connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
        connection.commit()
    with writing() as session:
        session.execute(sa.text("SELECT pg_current_xact_id()"))
    renew()
    with reading() as session:
        assert session.scalar(sa.text("SELECT pg_backend_pid()")) == number
        assert session.scalar(sa.select(sa.func.count()).select_from(Customer)) == 0
        assert session.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0


def test_a_stranger_is_sent_away(books: Flask) -> None:
    stranger = sa.create_engine(db.db.engine.url, poolclass=sa.NullPool).connect()
    stranger.exec_driver_sql("SELECT 1")
    renew()
    with pytest.raises(sa.exc.OperationalError):
        stranger.exec_driver_sql("SELECT 1")


@pytest.mark.untrue_books("the schema is changed")
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE audit DISABLE TRIGGER audit_no_update",
        "DROP TRIGGER audit_no_update ON audit",
        "ALTER TABLE customer ADD COLUMN more text",
        "ALTER TABLE customer ALTER COLUMN name DROP NOT NULL",
        "ALTER TABLE posting DROP CONSTRAINT fk_posting_voucher_id",
        "CREATE INDEX more ON customer (name)",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_a_database_of_another_shape_serves_nobody_else(books: Flask, change: str) -> None:
    assert isinstance(worlds.here, worlds.Place)
    assert isinstance(worlds.here.kind, databases.Postgres)
    keeper = worlds.here.kind._keepers[str(db.db.engine.url.database)]
    assert keeper.begin_again(databases._idle_servers(str(db.db.engine.url.database)))
    with db.db.engine.begin() as connection:
        connection.exec_driver_sql(change)
    assert not keeper.begin_again(databases._idle_servers(str(db.db.engine.url.database)))
