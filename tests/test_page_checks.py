"""The reading client sees what breaks the rules of a page: each check is tried on a page that breaks it."""

from __future__ import annotations

import pytest

from tests import page_checks
from tests.page_checks import Faulty
from tests.web_client import Page, WebClient

GOOD = (
    '<!doctype html><html lang="sv"><head><title>Order 1 – Kvitta</title></head><body><h1>Order 1</h1>'
    '<form method="post" action="/orders/1"><input type="hidden" name="csrf_token" value="x">'
    '<label for="q">Antal</label><input id="q" name="q" value="2">'
    '<select name="w" aria-label="Lager"><option value="1">Ett</option>'
    '<option value="2" selected>Två</option></select><input type="checkbox" name="all" aria-label="Alla" checked>'
    '<button name="do" value="save">Spara</button></form></body></html>'
)


def test_a_good_page_passes() -> None:
    page_checks.check(GOOD)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("<div><p>text</div>  <b>", "broken"),
        ("<div><span>text</div>", "broken"),
        ('<a href="/" href="/x">text</a>', "broken"),
        ('<p id="a">x</p><p id="a">y</p>', "twice"),
        ('<a hx-get="/orders" href="/orders">x</a>', "no hx-target"),
        ('<form method="post" action="/x"><button>x</button></form>', "no CSRF"),
        ('<form method="post"><input type="hidden" name="csrf_token" value="x"></form>', "no action"),
        ('<button hx-post="/x" hx-target="#y">x</button>', "outside a form"),
        ('<input name="q">', "no label"),
        ("<button></button>", "nothing says"),
        ('<img src="/x.png">', "no alt"),
        ('<label for="gone">x</label>', "points at"),
        ('<p aria-describedby="gone">x</p>', "not there"),
        ('<p style="color: red">x</p>', "inline style"),
        ('<p onclick="x()">x</p>', "inline onclick"),
        ("<script>x()</script>", "inline script"),
        ('<a href="javascript:x()">x</a>', "javascript"),
        ("<p>Summan är %(total)s</p>", "left over"),
        ("<td>None</td>", "left over"),
        ("<p>⟦Save⟧</p>", "not translated"),
        ("<!doctype html><html><head><title>x</title></head><body><h1>x</h1></body></html>", "no language"),
        ('<!doctype html><html lang="sv"><head><title>x</title></head><body></body></html>', "first headings"),
    ],
)
def test_a_broken_page_is_seen(broken: str, sentence: str) -> None:
    with pytest.raises(Faulty, match=sentence):
        page_checks.check(broken)


def test_a_target_may_be_inherited() -> None:
    page_checks.check('<div hx-target="#list"><a hx-get="/orders" href="/orders">x</a></div>')


def test_rows_may_come_alone() -> None:
    page_checks.check("<tr><td>1</td></tr><tr><td>2</td></tr>")


class _Answer:
    status_code = 200
    mimetype = content_type = "application/x-nothing"
    headers: dict[str, str] = {}  # noqa: RUF012 - never written to

    @staticmethod
    def get_data(as_text: bool = False) -> str:
        return ""


def _page() -> Page:
    page = Page(_Answer(), "http://localhost/orders/1")  # type: ignore[arg-type]
    page.element = page_checks.parse(GOOD)
    return page


def test_a_form_sends_what_a_browser_would() -> None:
    form = _page().form("/orders/1")
    form.fill({"q": 3, "all": None})
    form.press("do=save")
    assert form.values.to_dict(flat=False) == {"csrf_token": ["x"], "q": ["3"], "w": ["2"], "do": ["save"]}


def test_a_field_that_is_not_there_cannot_be_filled() -> None:
    with pytest.raises(AssertionError, match="no field 'price'"):
        _page().form("/orders/1").fill({"price": "1"})


@pytest.mark.parametrize(
    ("selector", "texts"),
    [
        ("button", ["Spara"]),
        ("#q", [""]),
        ("form option[value=2]", ["Två"]),
        ("input[name^=cs]", [""]),
        ("form h1", []),
    ],
)
def test_selectors_find(selector: str, texts: list[str]) -> None:
    assert [each.text for each in _page().all(selector)] == texts


def test_a_wrong_password_does_not_let_in(client: WebClient) -> None:
    with pytest.raises(AssertionError, match="could not log in"):
        client.log_in("clerk", "ett annat lösenord helt")


def test_two_clients_are_two_people(app: object, client: WebClient) -> None:
    client.log_in("clerk")
    assert WebClient(app).get("/orders", follow=False).status == 303  # type: ignore[arg-type]
    assert client.get("/orders").status == 200
