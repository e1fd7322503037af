"""Users and roles in the browser, and one's own sessions and password."""

from __future__ import annotations

import pytest
from flask import Flask

from db import reading
from services import users
from states import Role
from tests.builders import PASSWORD
from tests.web_client import WebClient

NEW = "grön låda över bron"


@pytest.fixture
def admin_page(app: Flask) -> WebClient:
    return WebClient(app).log_in("admin")


def test_users_are_listed_and_opened(admin_page: WebClient) -> None:
    shown = admin_page.get("/users")
    assert [row.find("a").text for row in shown.all("main tbody tr")] == [
        "Administratören",
        "Ekonomen",
        "Handläggaren",
        "Läsaren",
    ]
    assert admin_page.get("/users/2").find("#role-clerk").get("checked") is not None
    assert admin_page.get("/users/99").status == 404


@pytest.mark.parametrize("roles", [[], ["owner"], ["clerk", "root"]])
def test_a_role_that_is_not_in_the_list_is_refused(admin_page: WebClient, roles: list[str]) -> None:
    """Catalogue row 32."""
    admin_page.get("/users/new")
    made = admin_page.post("/users/new", {"login": "nisse", "name": "Nils", "role": roles})
    assert made.status == 422
    assert made.find("input[name=login]")["value"] == "nisse"
    assert admin_page.post("/users/2/roles", {"role": roles}).status == 422
    with reading() as session:
        assert users.get(session, 2).roles == {Role.CLERK}


def test_the_last_administrator_is_kept(admin_page: WebClient) -> None:
    """Catalogue row 31."""
    admin_page.get("/users/4")
    assert admin_page.post("/users/4/roles", {"role": "viewer"}).status == 409
    assert admin_page.post("/users/4/active", {"active": "0"}).status == 409


def test_ones_own_rights_cannot_be_raised(admin_page: WebClient) -> None:
    """Catalogue row 32."""
    assert admin_page.post("/users/4/roles", {"role": ["admin", "finance"]}).status == 403


def test_only_form_fields_are_written(admin_page: WebClient) -> None:
    """Security 40: columns posted by hand do not stick."""
    admin_page.post(
        "/users/new",
        {
            "login": "nisse",
            "name": "Nils",
            "role": "viewer",
            "password_hash": "x",
            "active": "0",
            "id": "77",
            "language": "en",
        },
    )
    with reading() as session:
        found = next(each for each in users.listing(session) if each.login == "nisse")
        assert (found.id != 77, found.active, found.has_password) == (True, True, False)


def test_a_disabled_user_is_out_at_once_and_comes_back_with_the_old_password(app: Flask, admin_page: WebClient) -> None:
    clerk = WebClient(app).log_in("clerk")
    admin_page.get("/users/2")
    admin_page.submit("/users/2/active")
    assert clerk.get("/me", follow=False).status == 303
    admin_page.submit("/users/2/active")
    assert WebClient(app).log_in("clerk").get("/me").status == 200


def test_an_administrator_ends_a_session_and_takes_a_password_away(app: Flask, admin_page: WebClient) -> None:
    clerk = WebClient(app).log_in("clerk")
    admin_page.get("/users/2")
    admin_page.submit("/sessions/end")
    assert clerk.get("/me", follow=False).status == 303
    shown = admin_page.submit("/users/2/invite")
    assert "/choose-password/2-" in shown.text
    fresh = WebClient(app)
    fresh.get("/login")
    assert fresh.submit("main form", login="clerk", password=PASSWORD).status == 422


def test_one_sees_and_ends_ones_own_sessions(app: Flask) -> None:
    """Security 23."""
    here, there = WebClient(app).log_in("clerk"), WebClient(app).log_in("clerk")
    assert len(here.get("/me").all("main tbody tr")) == 2
    here.submit("/sessions/end")
    assert there.get("/me", follow=False).status == 303
    assert len(here.get("/me").all("main tbody tr")) == 1


def test_somebody_elses_session_is_unknown(app: Flask, admin_page: WebClient) -> None:
    """Security 37: not yours is the same as not there."""
    admin_page.get("/me")
    with reading() as session:
        from services import logins

        key = logins.sessions(session, 4)[0].id_hash
    clerk = WebClient(app).log_in("clerk")
    foreign, unknown = clerk.post("/sessions/end", {"session": key}), clerk.post("/sessions/end", {"session": "x"})
    assert (foreign.status, unknown.status) == (404, 404)
    assert foreign.find("main p").text == unknown.find("main p").text
    assert admin_page.get("/me", follow=False).status == 200


def test_one_changes_ones_own_password(app: Flask) -> None:
    """Security 22."""
    here, there = WebClient(app).log_in("clerk"), WebClient(app).log_in("clerk")
    here.get("/me")
    refused = here.submit("/me/password", password="Handläggaren1")
    assert refused.status == 422
    assert "Handläggaren1" not in refused.html
    here.get("/me")
    assert here.submit("/me/password", password=NEW).url.endswith("/login")
    assert there.get("/me", follow=False).status == 303
    here.submit("main form", login="clerk", password=NEW)
    assert here.get("/me", follow=False).status == 200


def test_another_language_leads_back_to_the_page_one_is_on(app: Flask, client: WebClient) -> None:
    client.log_in("admin")
    for address in ("/me", "/users/1"):
        assert client.get(address).find("form.language input[name=next]")["value"] == address
