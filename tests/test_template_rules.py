"""Templates, stylesheets and the script keep to the rules of the browser as their source says (security 2, 4, 6, 7, 79).

Each rule is shown to catch what it is for: a lint that finds nothing may be a lint that looks at nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jinja2
import pytest
from flask import Flask, render_template_string
from flask_babel import Babel
from flask_wtf import CSRFProtect, FlaskForm
from wtforms import BooleanField, RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice

from tests import page_checks

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
ALL = sorted(TEMPLATES.rglob("*.html"))
NAMES = [str(path.relative_to(TEMPLATES)) for path in ALL]

# ---- Reading a template: what Jinja writes is set aside, so that tags can be read as tags ----

COMMENT = re.compile(r"\{#.*?#\}|<!--.*?-->", re.DOTALL)
GUARD = re.compile(r"\{\{-?\s*(?:\w+\.)?guard\(.*?\}\}", re.DOTALL)
OUTPUT = re.compile(r"\{\{.*?\}\}", re.DOTALL)
STATEMENT = re.compile(r"\{%.*?%\}", re.DOTALL)
TAG = re.compile(r"<([a-zA-Z][\w-]*)((?:\s+|[^<>\"']|\"[^\"]*\"|'[^']*')*?)/?>")
ATTRIBUTE = re.compile(r"([:@\w-]+)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'>]+))?")
GUARDED = 'hx-target="#X" hx-swap="X" hx-disabled-elt="X" hx-sync="this:drop"'


class Tag(NamedTuple):
    """One opening tag as written."""

    name: str
    attributes: dict[str, str]
    unquoted: list[str]
    end: int


def bare(source: str) -> str:
    """The markup alone, with Jinja's outputs as X."""
    return STATEMENT.sub(" ", OUTPUT.sub("X", GUARD.sub(GUARDED, COMMENT.sub("", source))))


def tags(source: str) -> Iterator[Tag]:
    """Every opening tag."""
    for match in TAG.finditer(source):
        attributes: dict[str, str] = {}
        unquoted = []
        for name, value in ATTRIBUTE.findall(match[2]):
            attributes[name.lower()] = value.strip("\"'")
            if value and value[0] not in "\"'":
                unquoted.append(name)
        yield Tag(match[1].lower(), attributes, unquoted, match.end())


# ---- The rules: each takes a template's source and gives sentences ----


def no_inline_script_or_style(source: str) -> Iterator[str]:
    markup = bare(source)
    for tag in tags(markup):
        if tag.name == "style":
            yield "a <style>"
        if tag.name == "script" and ("src" not in tag.attributes or markup[tag.end :].split("<", 1)[0].strip()):
            yield "a <script> with a body"
        for name, value in tag.attributes.items():
            if name == "style":
                yield f"style= on <{tag.name}>"
            if name.startswith(("on", "hx-on", "data-hx-on", "@")):
                yield f"{name}= on <{tag.name}>"
            if re.match(r"\s*(javascript|js|data|vbscript):", value, re.IGNORECASE):
                yield f"{name}={value!r}"


def no_evaluated_htmx(source: str) -> Iterator[str]:
    for tag in tags(bare(source)):
        for name, value in tag.attributes.items():
            if name in ("hx-vars", "hx-ext", "hx-request", "hx-headers", "hx-confirm", "hx-prompt"):
                yield f"{name} is not used here"
            if name == "hx-trigger" and "[" in value:
                yield "a filter in hx-trigger"
            if name == "hx-disable-elt":
                yield "hx-disable-elt is misspelt: htmx ignores it without a word; write hx-disabled-elt"


def htmx_posts_are_guarded_forms(source: str) -> Iterator[str]:
    for tag in tags(bare(source)):
        if {"hx-put", "hx-patch", "hx-delete"} & tag.attributes.keys():
            yield f"a change that is not a POST on <{tag.name}>"
        if "hx-post" in tag.attributes:
            if tag.name != "form" or tag.attributes.get("method", "").lower() != "post":
                yield f"hx-post on <{tag.name}>, not on a <form method=post>"
            if "hx-disabled-elt" not in tag.attributes:
                yield "hx-post without hx-disabled-elt"
            if tag.attributes.get("hx-sync") != "this:drop":
                yield "hx-post without hx-sync=this:drop"


def forms_say_how_and_carry_the_token(source: str) -> Iterator[str]:
    text = COMMENT.sub("", source)
    for match in re.finditer(r"<form\b(.*?)</form>", text, re.DOTALL):
        opening = next(tags(bare(match[0])))
        method = opening.attributes.get("method", "").lower()
        if method not in ("get", "post", "dialog"):
            yield "a form without method"
        if method == "post" and not re.search(r"csrf\(|csrf_token|hidden_tag\(", match[1]):
            yield "a POST form without its CSRF field"


def what_is_typed_before_htmx_is_told(source: str) -> Iterator[str]:
    if re.search(r"hx-trigger\"?[=:]\s*\"[^\"]*\bchanged\b", COMMENT.sub("", source)):
        yield 'the trigger modifier "changed" never hears of what was typed before htmx came'


GROUPED = re.compile(
    r'<(?:input|textarea)\b[^>]*value="\{\{[^}]*\|\s*(?:amount|quantity|money|sek)\b'
    r'|\bcell\(row, "[a-z]+", [^,]*\|\s*(?:amount|quantity)\b'
)


def what_a_field_holds_can_be_sent_back(source: str) -> Iterator[str]:
    if GROUPED.search(COMMENT.sub("", source)):
        yield "a figure with grouped thousands in a field, which the field itself refuses: use amount_to_type, quantity_to_type"


def polling_can_rest(source: str) -> Iterator[str]:
    for tag in tags(bare(source)):
        if re.search(r"\bevery\b|load\s+delay", tag.attributes.get("hx-trigger", "")):
            if "data-poll" not in tag.attributes or "id" not in tag.attributes:
                yield "a panel that polls without data-poll and an id never rests"


def nothing_escapes_escaping(source: str) -> Iterator[str]:
    text = COMMENT.sub("", source)
    if re.search(r"\|\s*safe\b|\bMarkup\(|autoescape\s+false|\|\s*tojson\b", text):
        yield "text that is not escaped"
    for tag in tags(bare(source)):
        if tag.unquoted:
            yield f"an unquoted attribute: {tag.unquoted[0]} on <{tag.name}>"


def nothing_comes_from_outside(source: str) -> Iterator[str]:
    for tag in tags(bare(source)):
        for name in ("src", "srcset", "data"):
            if re.match(r"(https?:)?//", tag.attributes.get(name, "")):
                yield f"{name} from another host on <{tag.name}>"
        if tag.name == "link" and re.match(r"(https?:)?//", tag.attributes.get("href", "")):
            yield "a stylesheet from another host"
        if tag.name in ("iframe", "object", "embed", "base"):
            yield f"a <{tag.name}>"


def buttons_have_one_of_three_weights(source: str) -> Iterator[str]:
    for tag in tags(bare(source)):
        classes = tag.attributes.get("class", "").split()
        if "button" in classes and not {"primary", "plain", "danger", "square", "X"} & set(classes):
            yield f"a button without weight on <{tag.name}>"
        if tag.name == "button" and tag.attributes.get("type", "submit") not in ("submit", "button"):
            yield "a button that resets"


def banners_have_a_known_tone(source: str) -> Iterator[str]:
    for tone in re.findall(r"\bbanner\(\s*\"(\w*)\"", COMMENT.sub("", source)):
        if tone not in ("info", "ok", "warn", "bad", "busy"):
            yield f"a banner of the tone {tone}, which has neither icon nor colour"


Rule = Callable[[str], Iterator[str]]
RULES: tuple[Rule, ...] = (
    no_inline_script_or_style,
    no_evaluated_htmx,
    htmx_posts_are_guarded_forms,
    forms_say_how_and_carry_the_token,
    what_is_typed_before_htmx_is_told,
    what_a_field_holds_can_be_sent_back,
    polling_can_rest,
    nothing_escapes_escaping,
    nothing_comes_from_outside,
    buttons_have_one_of_three_weights,
    banners_have_a_known_tone,
)

CAUGHT: list[tuple[Rule, str]] = [
    (no_inline_script_or_style, "<script>alert(1)</script>"),
    (no_inline_script_or_style, '<script src="/a.js">run()</script>'),
    (no_inline_script_or_style, "<style>p { color: red }</style>"),
    (no_inline_script_or_style, '<p style="width: {{ n }}%">'),
    (no_inline_script_or_style, '<p {% if x %}style="a"{% endif %}>'),
    (no_inline_script_or_style, '<button onclick="go()">'),
    (no_inline_script_or_style, '<button hx-on:click="go()">'),
    (no_inline_script_or_style, '<button hx-on::after-request="go()">'),
    (no_inline_script_or_style, '<a href="javascript:go()">'),
    (no_inline_script_or_style, """<div hx-vals='js:{a: 1}'>"""),
    (no_evaluated_htmx, '<div hx-vars="a:1">'),
    (no_evaluated_htmx, '<div hx-trigger="keyup[key==1]">'),
    (no_evaluated_htmx, '<form hx-disable-elt="find button">'),
    (no_evaluated_htmx, '<form hx-confirm="Sure">'),
    (htmx_posts_are_guarded_forms, '<button hx-post="/x" hx-disabled-elt="this" hx-sync="this:drop">'),
    (htmx_posts_are_guarded_forms, '<form hx-post="/x" hx-disabled-elt="this" hx-sync="this:drop">'),
    (htmx_posts_are_guarded_forms, '<form method="post" hx-post="/x" hx-sync="this:drop">'),
    (htmx_posts_are_guarded_forms, '<form method="post" hx-post="/x" hx-disabled-elt="this">'),
    (htmx_posts_are_guarded_forms, '<form method="post" hx-post="/x" hx-disabled-elt="this" hx-sync="this:replace">'),
    (htmx_posts_are_guarded_forms, '<button hx-delete="/x">'),
    (forms_say_how_and_carry_the_token, '<form action="/x"></form>'),
    (forms_say_how_and_carry_the_token, '<form method="post" action="/x"><input name="a"></form>'),
    (what_a_field_holds_can_be_sent_back, '<input name="a" value="{{ row.minor|amount }}">'),
    (what_a_field_holds_can_be_sent_back, '{{ cells.cell(row, "price", row.minor|amount, _("Unit price")) }}'),
    (what_is_typed_before_htmx_is_told, '<input name="a" hx-get="/x" hx-trigger="input changed delay:1s">'),
    (what_is_typed_before_htmx_is_told, '{{ forms.field(form.a, **{"hx-trigger": "input changed delay:1s"}) }}'),
    (polling_can_rest, '<div id="a" hx-get="/x" hx-trigger="every 2s">'),
    (polling_can_rest, '<div data-poll hx-get="/x" hx-trigger="load delay:2s">'),
    (nothing_escapes_escaping, "{{ text|safe }}"),
    (nothing_escapes_escaping, "{% autoescape false %}{{ a }}{% endautoescape %}"),
    (nothing_escapes_escaping, "<input value={{ text }}>"),
    (nothing_comes_from_outside, '<script src="https://cdn.example/x.js"></script>'),
    (nothing_comes_from_outside, '<link rel="stylesheet" href="//cdn.example/x.css">'),
    (nothing_comes_from_outside, '<iframe src="/x"></iframe>'),
    (buttons_have_one_of_three_weights, '<a class="button" href="/x">'),
    (buttons_have_one_of_three_weights, '<button type="reset">'),
    (banners_have_a_known_tone, '{{ ui.banner("warning", _("Careful.")) }}'),
]
FINE = """
{# <script>never sent</script> #}<script src="{{ url_for('static', filename='app.js') }}" defer></script>
<form method="post" action="{{ url }}" hx-post="{{ url }}" {{ forms.guard("#panel") }}>{{ forms.csrf() }}
  <input name="a" value="{{ a if a > 1 else b }}"><button type="submit" class="button {{ kind }}">x</button></form>
<form method="get" action="/x"><button class="button plain">x</button></form>
{{ ui.banner("warn", _("Careful.")) }}{{ ui.banner(tone, text) }}
<section id="p" data-poll hx-get="/x" hx-trigger="every 2s" hx-target="this"></section>
"""


@pytest.mark.parametrize(("rule", "snippet"), CAUGHT, ids=lambda part: getattr(part, "__name__", str(part)[:40]))
def test_the_rule_catches_what_it_is_for(rule: Rule, snippet: str) -> None:
    assert list(rule(snippet))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_lets_good_markup_be(rule: Rule) -> None:
    assert list(rule(FINE)) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_template_keeps_the_rules_of_the_browser(name: str) -> None:
    source = (TEMPLATES / name).read_text()
    assert [f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(source)] == []


# ---- Templates as Jinja sees them ----


def titled(name: str, source: str) -> bool:
    """A page names itself; fragments, macros and base pages of others are not asked."""
    if name.startswith("macros/") or Path(name).name.startswith("_"):
        return True
    return bool(re.search(r"\{%-?\s*block title\b|<title>", source))


def test_a_page_without_title_is_caught() -> None:
    assert not titled("orders/list.html", '{% extends "base.html" %}{% block content %}{% endblock %}')
    assert titled("orders/_table.html", "<table></table>")


class AnyName(dict[str, Any]):
    """Filters and tests of the house are registered by the application; here every name will do."""

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, str)

    def __contains__(self, key: object) -> bool:
        return True


@pytest.mark.parametrize("name", NAMES)
def test_the_template_compiles_and_has_a_title_or_is_a_fragment(name: str) -> None:
    source = (TEMPLATES / name).read_text()
    environment = jinja2.Environment(
        extensions=["jinja2.ext.i18n", "jinja2.ext.do", "jinja2.ext.loopcontrols"], autoescape=True
    )
    environment.filters, environment.tests = AnyName(environment.filters), AnyName(environment.tests)
    environment.compile(source, name)
    assert titled(name, source)


def test_what_a_template_extends_includes_and_imports_is_there() -> None:
    missing = []
    for name in NAMES:
        for wanted in re.findall(
            r"\{%-?\s*(?:extends|include|import|from)\s+\"([^\"]+)\"", (TEMPLATES / name).read_text()
        ):
            if not (TEMPLATES / wanted).is_file():
                missing.append(f"{name}: {wanted}")
    assert missing == []


# ---- The shell ----


def htmx_settings() -> dict[str, Any]:
    """The settings in the base template's meta tag."""
    found = re.search(r"<meta name=\"htmx-config\" content='([^']+)'>", (TEMPLATES / "base.html").read_text())
    assert found
    settings: dict[str, Any] = json.loads(found[1])
    return settings


def test_htmx_is_configured_as_the_security_rules_say() -> None:
    """Security item 4."""
    settings = htmx_settings()
    answers = settings.pop("responseHandling")
    assert settings == {
        "allowEval": False,
        "allowScriptTags": False,
        "selfRequestsOnly": True,
        "includeIndicatorStyles": False,
        "historyCacheSize": 0,
        "historyRestoreAsHxRequest": False,
        "timeout": 30000,
        "attributesToSettle": ["class", "width", "height"],
        "withCredentials": False,
    }

    def answer(status: int) -> tuple[bool, bool]:
        first = next(one for one in answers if re.fullmatch(one["code"], str(status)))
        return bool(first["swap"]), bool(first.get("error"))

    assert answer(204) == (False, False)
    assert {answer(status) for status in (200, 201, 303, 409, 422)} == {(True, False)}
    assert {answer(status) for status in (400, 401, 403, 404, 413, 429, 500, 502, 503)} == {(False, True)}


def test_pages_stay_out_of_the_history_store() -> None:
    assert '<body hx-history="false">' in (TEMPLATES / "base.html").read_text()


@pytest.fixture(name="shell")
def a_small_app_around_the_shell() -> Flask:
    """The shell and the macros need no more than this of the application."""
    app = Flask("shell", template_folder=str(TEMPLATES), static_folder=str(STATIC))
    app.config.update(SECRET_KEY="for this test only", TESTING=True)
    Babel(app, default_locale="en")
    CSRFProtect(app)
    app.add_url_rule("/orders", "orders", lambda: "")
    app.jinja_env.filters["money"] = lambda minor, currency: f"{minor} {currency}"
    return app


class AdvanceForm(FlaskForm):  # type: ignore[misc]
    """One of each kind of field."""

    percent = StringField("Percent")
    kind = RadioField("Type", choices=[SelectChoice("a", "A"), SelectChoice("b", "B")])
    stock = SelectField("Warehouse", choices=[SelectChoice("1", "Main")])
    paper = BooleanField("Print")


IMPORTS = "".join(f'{{% import "macros/{name}.html" as {name} %}}' for name in ("ui", "forms", "klarna", "paid"))
PAGE = """
{% block title %}Order{% endblock %}
{% block top %}<h1>Order {{ ui.pill("Issued", "ok") }}</h1>
<div class="menu">{{ forms.link("New", "/n", "primary", "plus") }}
  {{ forms.post("/x", "Void", nonce="n1", target="#p", kind="danger", confirm="Void it?") }}
  {{ forms.button("Create", disabled_reason="Everything has been invoiced.") }}
  {{ forms.icon_link("Deliver", "/d", "truck") }}</div>{% endblock %}
{% block content %}
<section id="p"><form method="post" action="/y">
  {{ forms.csrf() }}{{ forms.nonce("n2") }}{{ forms.error_summary(form) }}
  {{ forms.field(form.percent, hint="At most two decimals.", suffix="%", locked=None, inputmode="decimal") }}
  {{ forms.field(form.kind, hint="One of them.") }}{{ forms.field(form.stock, hide_label=True) }}
  {{ forms.field(form.paper) }}{{ forms.icon_button("Remove", "trash-2") }}</form></section>
{{ ui.filters([{"label": "All", "url": "/", "count": 3, "active": True}]) }}{{ ui.tabs([{"label": "One", "url": "/"}]) }}
<table><thead><tr>{{ ui.th("Number", "/?sort", "desc") }}{{ ui.th("SEK", num=True) }}</tr></thead>
  <tbody><tr><td>1</td><td>2</td></tr></tbody></table>
{{ ui.pager("/n", "/o", "30 rows", [{"label": "30", "url": "/30", "active": True}]) }}
{{ ui.progress(3, 10, "Reading") }}{{ ui.figure("Owed", "1") }}
{{ ui.timeline([{"when": "2026-11-20", "text": "Made", "tone": "ok", "who": "A", "url": "/e"}]) }}
{{ ui.empty("Nothing here", "They come by themselves.", "info") }}{{ ui.banner("warn", "Careful.") }}
{{ ui.locked("The price follows the original.") }}{{ ui.copy_all("p") }}
{% call ui.tip("A whole sentence.") %}x{% endcall %}{% endblock %}
{% block aside %}{{ klarna.icon("partly", "Partly activated") }}{{ paid.icon("over", "Overpaid") }}
  {{ klarna.amounts(343700, 143700, 45000, 200000, "SEK") }}
  {{ ui.definition([("Number", ui.copyable("K4MADNY")), ("Left out", none)]) }}{% endblock %}
"""
SHELL = {
    "nav": [{"endpoint": "orders", "label": "Orders", "key": "o", "active": True, "count": 4}],
    "environments": ["sandbox"],
    "lang": "en",
    "languages": [{"code": "sv", "label": "Svenska"}, {"code": "en", "label": "English"}],
    "language_url": "/language",
    "search_url": "/search",
    "logout_url": "/logout",
    "user": SimpleNamespace(name="Clerk 1", role="Clerk"),
}


def drawn(app: Flask, source: str, **values: Any) -> str:
    """A page or fragment drawn within a request."""
    with app.test_request_context("/orders"):
        if "form" in values:
            values["form"] = values["form"]()
            values["form"].percent.errors = ["Between <0,01> and 100,00."]
            values["form"].form_errors = []
        return render_template_string(source, **values)


def test_every_macro_draws_a_page_that_keeps_the_rules(shell: Flask) -> None:
    html = drawn(shell, '{% extends "base.html" %}' + IMPORTS + PAGE, form=AdvanceForm, **SHELL)
    page_checks.check(html)
    assert [fault for rule in RULES for fault in rule(html)] == []
    assert "&lt;0,01&gt;" in html and "<0,01>" not in html


def test_the_shell_stands_without_user_and_the_error_page_without_anything(shell: Flask) -> None:
    """Security item 74: an error page needs no database."""
    page_checks.check(drawn(shell, '{% extends "error.html" %}'))
    html = drawn(
        shell,
        '{% extends "error.html" %}',
        code=404,
        title="Not there",
        sentence="There is no order 9.",
        error_id="01JD7K",
    )
    page_checks.check(html)
    assert "There is no order 9." in html and "01JD7K" in html and 'role="search"' not in html


def test_a_control_that_is_off_says_why_and_does_nothing(shell: Flask) -> None:
    tree = page_checks.parse(drawn(shell, IMPORTS + '{{ forms.button("Create", disabled_reason="Nothing is left.") }}'))
    button = next(page_checks.elements(tree, "button"))
    assert (button.get("type"), button.get("aria-disabled")) == ("button", "true")
    assert page_checks.text_of(button) == "Create: Nothing is left."


def test_an_error_stands_by_its_field_and_is_tied_to_it(shell: Flask) -> None:
    tree = page_checks.parse(drawn(shell, IMPORTS + '{{ forms.field(form.percent, hint="Hint.") }}', form=AdvanceForm))
    control = next(page_checks.elements(tree, "input"))
    assert control.get("aria-invalid") == "true"
    assert control.get("aria-describedby") == "percent-hint percent-error"


def test_the_klarna_icon_says_its_sentence_to_eyes_and_ears(shell: Flask) -> None:
    """F24: by mouse, keyboard focus and touch, and in the accessible name."""
    sentence = "Activated at Klarna through Kvitta 2026-11-20 14:03, K4MADNY-1"
    tree = page_checks.parse(drawn(shell, IMPORTS + f'{{{{ klarna.icon("captured", "{sentence}") }}}}'))
    icon = next(each for each in page_checks.elements(tree, "span") if each.get("role") == "img")
    assert icon.get("aria-label") == sentence and icon.get("tabindex") == "0"
    assert page_checks.text_of(icon) == sentence


def widths(html: str) -> list[int]:
    """The widths of a bar's parts, without its frame."""
    return [int(width) for width in re.findall(r'<rect class="(?!frame)[\w-]+" x="\d+" y="0" width="(\d+)"', html)]


def test_the_amounts_bar_is_whole_and_never_divides_by_nothing(shell: Flask) -> None:
    bar = (
        IMPORTS
        + '{% set parts = [{"minor": a, "tone": "solid"}, {"minor": b, "tone": "hatched"}, {"minor": c, "tone": "hollow"}] %}'
        + '{{ ui.bar(parts, total, "x") }}'
    )
    assert widths(drawn(shell, bar, a=50, b=25, c=25, total=100)) == [500, 250, 250]
    assert widths(drawn(shell, bar, a=0, b=0, c=100, total=100)) == [1000]
    assert widths(drawn(shell, bar, a=0, b=0, c=0, total=0)) == []
    assert widths(drawn(shell, bar, a=1, b=0, c=999_999, total=1_000_000))[0] == 4  # an öre is still seen


# ---- The script and the stylesheets ----

FORBIDDEN_SCRIPT = re.compile(
    r"\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\.style\b"
    r"|setAttribute\(\"(?:style|on)|window\.(?:confirm|alert|prompt|open)\("
)
MOVING = re.compile(r"\b(?:animation|transition|scroll-behavior)\s*:|@keyframes")


def test_the_script_lint_catches_what_it_is_for() -> None:
    for bad in ('eval("1")', "a.innerHTML = b", "a.style.width = 1", "window.confirm(b)", 'a.setAttribute("style", b)'):
        assert FORBIDDEN_SCRIPT.search(bad)


@pytest.mark.parametrize("name", ["app.js", "print.js"])
def test_the_script_runs_under_the_strict_policy(name: str) -> None:
    assert FORBIDDEN_SCRIPT.findall((STATIC / name).read_text()) == []


@pytest.mark.parametrize("name", ["app.css", "print.css"])
def test_the_stylesheet_fetches_nothing_and_moves_nothing(name: str) -> None:
    text = (STATIC / name).read_text()
    assert not re.search(r"url\(|@import", text)
    assert not MOVING.search(text) and MOVING.search("a { transition: all 1s }")


# ---- Contrast: every pair of text and ground in light, dark and high contrast reaches AA ----


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""

    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Ratio between 1 and 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def tokens(css: str) -> dict[str, tuple[str, str]]:
    """Colour tokens of a list: name, light, dark."""
    found = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", css)
    return {name: (light, dark) for name, light, dark in found}


TEXT_PAIRS = [
    (ink, ground)
    for ink in ("ink", "muted", "accent", "ok", "warn", "bad")
    for ground in ("ground", "surface", "raised")
]
TEXT_PAIRS += [
    ("on-accent", "accent"),
    ("accent", "accent-soft"),
    ("ok", "ok-soft"),
    ("warn", "warn-soft"),
    ("bad", "bad-soft"),
    ("surface", "ink"),
]
TEXT_PAIRS += [("ink", f"{tone}-soft") for tone in ("accent", "ok", "warn", "bad")]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("high", [False, True], ids=["normal", "high-contrast"])
def test_text_has_contrast_in_every_theme(theme: int, high: bool) -> None:
    css = (STATIC / "app.css").read_text()
    normal, more = css.split("@media (prefers-contrast: more)", 1)
    found = tokens(normal)
    if high:
        found |= tokens(more)
    assert len(found) >= 15
    low = {
        f"{ink} on {ground}": round(ratio, 2)
        for ink, ground in TEXT_PAIRS
        if (ratio := contrast(found[ink][theme], found[ground][theme])) < (7 if high and ink == "ink" else 4.5)
    }
    low |= {
        f"edge on {ground}": round(ratio, 2)
        for ground in ("surface", "ground")
        if (ratio := contrast(found["edge"][theme], found[ground][theme])) < 3
    }
    assert low == {}
