"""The reading client sees what breaks the rules of a page: each check is tried on a page that breaks it."""

from __future__ import annotations

import pytest

from tests import page_checks, page_reader
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
        (GOOD.replace("<h1>", '<a href="#gone">x</a><h1>'), "leads to '#gone'"),
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


# --- The quick reader gives what the strict one gives ----------------------------------------------------------------

PAGE = (
    '<!doctype html>\n<html lang="sv">\n<head><meta charset="utf-8"><title>{title} &amp; Kvitta</title>\n</head>\n'
    '<body class="a">\n'
    '<main><h1>{title}</h1><table><tbody><tr><td class="{value}">{text}</td><td><br></td></tr></tbody></table>'
    '<svg viewBox="0 0 9 9" aria-label="{value}"><g><path d="M0 0"/></g><use href="/x#y"></use></svg>'
    '<label>Skäl <textarea name="why">\n\n{text} &lt;b&gt;</textarea></label><!-- {title} --><p hidden>{text}</p></main>\n'
    "</body>\n</html>\n"
)


def a_page(title: str = "Order 1", text: str = "2 st", value: str = "num") -> str:
    return PAGE.format(title=title, text=text, value=value)


@pytest.fixture
def sister() -> str:
    """A healthy page, read strictly: its like is now read by the quick reader."""
    page_checks.parse(a_page())
    quick = page_reader.read(a_page(), None)
    assert quick is not None and quick.skeleton in page_checks._parsed_strictly
    return a_page()


@pytest.mark.parametrize(
    "html",
    [
        a_page(text="&#39;&#34;&lt;&gt;&amp;&nbsp;", value="&lt;b&gt; &amp;amp; >"),
        a_page(text="'\"> ] = ö – 🙂\n x", title="'"),
        GOOD,
        "<tr><td>1</td></tr>\n<tr><td>2 <b>x</b> y</td></tr>",
        '<p>a<!-- b -->c<img src="/x" alt="">d</p> e <ul><li>f</li></ul>\n',
        '<pre>\n\nx</pre><input disabled value=\'"\' name="q">',
        "<option value=1>x</option><p>y",
    ],
)
def test_the_quick_reader_gives_the_strict_readers_tree(html: str) -> None:
    container = None if html.startswith("<!doctype") else "tbody" if html.startswith("<tr") else "div"
    quick = page_reader.read(html, container)
    if quick is None:
        assert html.endswith("y"), "this page is plain"
    else:
        assert page_reader.same(page_checks.parse_strictly(html, container), quick.tree)


def test_a_page_of_the_same_skeleton_is_not_parsed_strictly_again(sister: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def strictly(*_: object) -> None:
        raise AssertionError("parsed strictly")

    monkeypatch.setattr(page_checks, "parse_strictly", strictly)
    tree = page_checks.parse(a_page("Order 2", "3 &lt; 4 st", "num more"))
    assert page_checks.text_of(next(page_checks.elements(tree, "td"))) == "3 < 4 st"
    with pytest.raises(AssertionError, match="parsed strictly"):
        page_checks.parse(a_page("Order 2").replace("<br>", "<hr>"))


@pytest.mark.parametrize(
    ("healthy", "broken"),
    [
        ("</h1>", ""),
        ("</h1>", "</h2>"),
        ("</p>", "</p></p>"),
        ("<p hidden>", "<p hidden hidden>"),
        ("<p hidden>", "<p hidden><div></div>"),
        ('class="num"', 'class="num" class="x"'),
        ('class="num"', 'class="num'),
        ('class="num"', 'class=""num"'),
        ("2 st</td>", "2 st & &co</td>"),
        ("2 st</td>", "2 < 3 st</td>"),
        ("2 st</td>", "2 st\x00</td>"),
        ("2 st</td>", "2 st\x0b</td>"),
        ("2 st</td>", "2 st&ouml</td>"),
        ("2 st</td>", "2 st&#128;</td>"),
        ("<main>", "<main/>"),
        ("</main>", "</main></div>"),
        ("</main>", "<main>"),
        ("</body>", "</body>x"),
        ("<!doctype html>", "<!doctype html><!doctype html>"),
        ("-->", "--->--"),
        ("</title>", ""),
        ("</textarea>", ""),
    ],
)
def test_a_broken_page_is_seen_when_its_healthy_sister_was_seen_before(sister: str, healthy: str, broken: str) -> None:
    page = sister.replace(healthy, broken, 1)
    assert page != sister
    with pytest.raises(Faulty, match="the HTML is broken"):
        page_checks.parse_strictly(page, None)
    with pytest.raises(Faulty, match="the HTML is broken"):
        page_checks.parse(page)


@pytest.mark.parametrize(
    ("healthy", "odd"),
    [
        ("</td><td>", "<td>"),
        ("<tr>", "x<tr>"),
        ("<tr>", "&nbsp;<tr>"),
        ("<tr>", "\xa0<tr>"),
        ("<tbody>", ""),
        ("</body>", ""),
        ("</head>", "</head> \n"),
        ("<html", "<!-- x --><html"),
    ],
)
def test_what_the_strict_reader_mends_in_silence_is_read_as_it_reads_it(sister: str, healthy: str, odd: str) -> None:
    page = sister.replace(healthy, odd, 1)
    assert page != sister
    strict = page_checks.parse_strictly(page, None)
    assert page_reader.same(page_checks.parse(page), strict)
    page_checks.parse.cache_clear()
    assert page_reader.same(page_checks.parse(page), strict)


@pytest.mark.parametrize("part", ["<p>{}</p>", "<a href='/x'>{}</a>", "<table><tr><td>{}</td></tr></table>"])
def test_what_a_page_says_is_held_against_the_rules_also_when_its_sister_was_seen_before(part: str) -> None:
    page_checks.check(part.format("Betald"))
    with pytest.raises(Faulty, match="left over"):
        page_checks.check(part.format("None"))
    with pytest.raises(Faulty, match="not translated"):
        page_checks.check(part.format("⟦Paid⟧"))
