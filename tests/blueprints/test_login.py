"""Logging in and out in the browser, the password again, the first administrator, choosing a password."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from freezegun import freeze_time

from db import reading, writing
from models import User
from services import users
from states import Role
from tests import builders
from tests.builders import PASSWORD
from tests.web_client import WebClient

NEW = "grön låda över bron"


def log_in(client: WebClient, login: str = "clerk", password: str = PASSWORD, **how):
    client.get("/login", headers={"Accept-Language": "en"})
    return client.submit("main form", login=login, password=password, **how)


def test_one_logs_in_and_out(client: WebClient) -> None:
    shown = log_in(client)
    assert shown.status == 200
    assert "Handläggaren" in shown.text
    assert client.get("/login").url.endswith("/")
    out = client.submit("/logout")
    assert out.url.endswith("/login")
    assert client.get("/", follow=False).status == 303


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("login", "password"), [("clerk", "wrong"), ("nobody", PASSWORD), ("clerk", "x" * 1_000), ("nobody", "x" * 1_000)]
)
def test_unknown_user_and_wrong_password_get_the_same_answer(app: Flask, login: str, password: str) -> None:
    """Security 29, catalogue rows 26 and 27."""
    client = WebClient(app)
    shown = log_in(client, login, password)
    assert shown.status == 422
    assert shown.find("main .banner.bad").text == "Inloggningsnamnet eller lösenordet är fel."
    assert shown.find("input[name=login]")["value"] == login
    assert not shown.find("input[name=password]").get("value")


@pytest.mark.only_on("sqlite")
def test_wrong_answers_differ_in_nothing_but_what_was_typed(app: Flask) -> None:
    def plain(login: str) -> str:
        page = log_in(WebClient(app), login, "wrong")
        tokens = [each["value"] for each in page.all("input[name=csrf_token]")]
        text = page.html.replace(login, "LOGIN")
        for token in tokens:
            text = text.replace(token, "TOKEN")
        return text

    assert plain("clerk") == plain("nobody")


def test_too_many_tries_wait_and_say_how_long(client: WebClient) -> None:
    """Catalogue row 28."""
    with freeze_time("2026-11-20 08:00:00") as time:
        for _ in range(5):
            assert log_in(client, password="wrong").status == 422
        shown = log_in(client)
        assert shown.status == 429
        assert "61" in shown.text
        time.tick(61)
        assert log_in(client).status == 200


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(("login", "password"), [("", PASSWORD), ("clerk", ""), ("a\x00b", "x"), ("x" * 500, "x")])
def test_what_cannot_be_a_login_is_said_beside_the_field(client: WebClient, login: str, password: str) -> None:
    shown = log_in(client, login, password)
    assert shown.status == 422
    assert shown.has("[aria-invalid=true]")


def test_what_needs_the_password_asks_for_it_again_after_half_an_hour(client: WebClient) -> None:
    """Security 33."""
    with freeze_time("2026-11-20 08:00:00") as time:
        log_in(client, "admin")
        assert client.get("/users", follow=False).status == 200
        time.tick(timedelta(minutes=31))
        asked = client.get("/users")
        assert "/confirm?next=/users" in asked.url
        assert client.submit("main form", password="wrong").status == 422
        assert client.submit("main form", password=PASSWORD).url.endswith("/users")


@pytest.mark.bare_database
def test_the_first_administrator_is_made_with_the_token_and_only_once(app: Flask, client: WebClient) -> None:
    """Security 30."""
    with reading() as session:
        token = users.set_up_token(session, app.config["SECRET_KEY"])
    assert client.get("/set-up/wrong").status == 404
    client.get(f"/set-up/{token}")
    assert client.submit("main form", login="boss", name="The Boss", password="short").status == 422
    assert client.submit("main form", login="boss", name="The Boss", password=NEW).url.endswith("/login")
    assert log_in(client, "boss", NEW).status == 200
    assert client.get(f"/set-up/{token}").status == 404


def test_a_user_chooses_a_password_through_a_link_that_works_once(app: Flask, client: WebClient) -> None:
    """Security 31: the administrator never learns the password."""
    admin = WebClient(app).log_in("admin")
    admin.get("/users/new")
    shown = admin.submit("main form", login="Nisse", name="Nils", role=["clerk", "viewer"])
    link = shown.find("#link-h").text and shown.find(".panel.important code").text
    path = link.removeprefix("http://localhost")
    client.get(path)
    assert client.submit("main form", password="nissenisse12").status == 422
    assert client.submit("main form", password=NEW).url.endswith("/login")
    assert client.get(path).status == 404
    assert log_in(client, "nisse", NEW).status == 200
    with reading() as session:
        user = session.scalars(sa.select(User).where(User.login == "nisse")).one()
        assert {each.role for each in user.roles} == {Role.CLERK, Role.VIEWER}


@pytest.mark.only_on("sqlite")
def test_a_disabled_user_cannot_use_the_link(app: Flask, client: WebClient) -> None:
    by = builders.actor(Role.ADMIN)
    with writing() as session:
        user = users.create(session, by, login="nisse", name="Nils", roles=[Role.CLERK])
        token = users.invitation(session, user.id, app.config["SECRET_KEY"])
        users.set_active(session, by, user.id, False)
    assert client.get(f"/choose-password/{token}").status == 404


@pytest.mark.only_on("sqlite")
def test_an_outdated_hash_is_renewed_at_login(app: Flask, client: WebClient) -> None:
    """Security 26."""
    with reading() as session:
        before = users.password_of(session, 2)
    app.extensions["passwords"] = type(app.extensions["passwords"])(
        type(builders.CHEAP)(time_cost=2, memory_cost=64, parallelism=1)
    )
    assert log_in(client).status == 200
    with reading() as session:
        assert users.password_of(session, 2) != before
