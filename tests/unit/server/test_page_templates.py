"""Templates of an administrator's own: what replaces what, and what is refused when they are loaded."""

import logging
from pathlib import Path

import pytest

from gateway.model.pages import ChallengeForm, Page, PageKind
from gateway.server.page_templates import MAX_TEMPLATE_BYTES
from gateway.server.pages import PageRenderer, PageTemplateRefused, RenderedPage

NONCE = "bm9uY2Utbm9uY2Utbm9uY2U"
LOCKED = Page(PageKind.LOCKED, 403, "EXPIRED", "ref-1", "Team <wiki>")
BAD_GATEWAY = Page(PageKind.ERROR, 502, "", "ref-2")
FORM = ChallengeForm(
    "https://n1.mtls.test/challenge", (("SAMLResponse", "PHN"),), "Wiki", ("https://*.mtls.test",)
)
WORKING_FORM = (
    '<form method="post" action="{{ action }}">'
    "{{ hidden_fields }}<button>{{ text.challenge_button }}</button></form>"
)


def renderer(directory: Path, **templates: str) -> PageRenderer:
    for name, source in templates.items():
        (directory / f"{name}.html").write_text(source, encoding="utf-8")
    return PageRenderer(str(directory), org_name="Acme")


def body(page: RenderedPage) -> str:
    return page.body.decode("utf-8")


def test_a_template_takes_the_place_of_ours_and_the_others_stay(tmp_path: Path) -> None:
    pages = renderer(tmp_path, locked="<p>{{ title }} {{ app_label }} {{ reason }} {{ reference_id }}</p>")
    locked = body(pages.render(LOCKED, None, None, NONCE))
    assert locked == "<p>This computer’s certificate has expired Team &lt;wiki&gt; EXPIRED ref-1</p>"
    assert "<main>" in body(pages.render(BAD_GATEWAY, None, None, NONCE))
    assert "<main>" in body(pages.render_challenge_form(FORM, None, NONCE))


def test_a_template_may_extend_ours_and_include_its_own(tmp_path: Path) -> None:
    pages = renderer(
        tmp_path,
        error="{% extends 'base.html' %}{% block content %}{% include 'logo.html' %}!{% endblock %}",
        logo="<img src='data:,'>",
    )
    answer = pages.render(BAD_GATEWAY, None, None, NONCE)
    assert "<header>Acme</header>\n<main>\n<img src='data:,'>!" in body(answer)
    assert "img-src data:; " in dict(answer.headers)[b"Content-Security-Policy"].decode()


def test_a_challenge_template_with_the_form_works(tmp_path: Path) -> None:
    answer = renderer(tmp_path, challenge=WORKING_FORM).render_challenge_form(FORM, b"de", NONCE)
    assert body(answer) == (
        '<form method="post" action="https://n1.mtls.test/challenge">'
        '<input type="hidden" name="SAMLResponse" value="PHN"><button>Weiter</button></form>'
    )


def test_an_edit_after_loading_changes_nothing(tmp_path: Path) -> None:
    pages = renderer(
        tmp_path, locked="{% if reason == 'REVOKED' %}{% include 'more.html' %}{% endif %}x", more="y"
    )
    (tmp_path / "locked.html").write_text("{{ broken")
    (tmp_path / "more.html").unlink()
    assert body(pages.render(LOCKED, None, None, NONCE)) == "x"


@pytest.mark.parametrize(
    ("name", "source", "line", "detail"),
    [
        pytest.param("locked", "a\n{{ title", 2, "end of", id="a brace that is not closed"),
        pytest.param("locked", "a\n\n{% iff x %}", 3, "unknown tag 'iff'", id="an unknown tag"),
        pytest.param("locked", "a\n{{ titel }}", 2, "'titel' is undefined", id="an unknown variable"),
        pytest.param("locked", "{{ text.lern_more }}", 1, "no attribute 'lern_more'", id="an unknown word"),
        pytest.param("locked", "\n{{ title|shout }}", 2, "No filter named 'shout'", id="an unknown filter"),
        pytest.param("locked", "\n{{ 1 // 0 }}", 2, "division", id="a division by zero"),
        pytest.param("locked", "{{ title + 1 }}", 1, "can only concatenate str", id="text plus a number"),
        pytest.param(
            "error", "\n{% if status == 504 %}{{ x }}{% endif %}", 2, "'x' is", id="only for one status"
        ),
        pytest.param(
            "error", "{% if learn_more_url %}{{ x }}{% endif %}", 1, "'x' is", id="only with a link"
        ),
        pytest.param("locked", "{% if language == 'de' %}{{ x }}{% endif %}", 1, "'x'", id="only in German"),
        pytest.param(
            "locked", "\n{% include 'none.html' %}", 2, "there is no template 'none.html'", id="no file"
        ),
        pytest.param(
            "locked", "{% include '../../etc/passwd' %}", 1, "there is no", id="outside the directory"
        ),
        pytest.param(
            "locked", "{% include 'locked.html' %}", 1, "recursion", id="a template that includes itself"
        ),
        pytest.param("locked", "{{ ''.__class__.__mro__ }}", 1, "unsafe", id="a way out of the sandbox"),
        pytest.param(
            "locked", "{{ text.update({}) }}", 1, "no attribute 'update'", id="an edit of the words"
        ),
        pytest.param("challenge", "<p>wait</p>", 0, "exactly one <form", id="no form"),
        pytest.param("challenge", WORKING_FORM * 2, 0, "exactly one <form", id="two forms"),
        pytest.param(
            "challenge", WORKING_FORM.replace("post", "get"), 0, "exactly one <form", id="a GET form"
        ),
        pytest.param(
            "challenge", WORKING_FORM.replace("{{ action }}", "/"), 0, "exactly", id="another action"
        ),
        pytest.param(
            "challenge", WORKING_FORM.replace("{{ hidden_fields }}", ""), 0, "hidden", id="no fields"
        ),
        pytest.param(
            "challenge",
            WORKING_FORM.replace("{{ hidden_fields }}", "{{ hidden_fields|striptags }}"),
            0,
            "hidden_fields",
            id="fields without their tags",
        ),
        pytest.param(
            "challenge",
            WORKING_FORM.replace("<button>", "<input name=x><button>"),
            0,
            "hidden",
            id="one field more",
        ),
        pytest.param("challenge", WORKING_FORM.replace("button>", "b>"), 0, "<button", id="no button"),
    ],
)
def test_a_broken_template_is_refused_when_it_is_loaded(
    tmp_path: Path, name: str, source: str, line: int, detail: str
) -> None:
    with pytest.raises(PageTemplateRefused) as refused:
        renderer(tmp_path, **{name: source})
    assert (refused.value.path, refused.value.line) == (str(tmp_path / f"{name}.html"), line)
    assert detail in refused.value.detail
    assert str(refused.value).startswith(f"{tmp_path / name}.html:")


@pytest.mark.parametrize(
    ("files", "path", "line", "detail"),
    [
        pytest.param(
            {}, "", 0, "holds none of locked.html, error.html, challenge.html", id="an empty directory"
        ),
        pytest.param({"Locked.html": b"x"}, "", 0, "holds none of", id="a name that replaces nothing"),
        pytest.param({"error.html": b"a\n\xff"}, "/error.html", 2, "is not UTF-8", id="not UTF-8"),
        pytest.param(
            {"error.html": b" " * (MAX_TEMPLATE_BYTES + 1)},
            "/error.html",
            0,
            "is larger than",
            id="too large",
        ),
        pytest.param(
            {"error.html": b"x", "part.html": b"{% if %}"},
            "/part.html",
            1,
            "Expected an expression",
            id="a part",
        ),
    ],
)
def test_a_directory_that_does_not_fit_is_refused(
    tmp_path: Path, files: dict[str, bytes], path: str, line: int, detail: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PageTemplateRefused, match=detail) as refused:
        PageRenderer(str(tmp_path), org_name="Acme")
    assert (refused.value.path, refused.value.line) == (f"{tmp_path}{path}", line)


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PageTemplateRefused, match="No such file or directory"):
        PageRenderer(str(tmp_path / "none"), org_name="Acme")


def test_a_template_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked.html").mkdir()
    with pytest.raises(PageTemplateRefused, match="Is a directory"):
        PageRenderer(str(tmp_path), org_name="Acme")


def test_a_template_that_fails_on_a_later_value_gives_way_to_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages = renderer(tmp_path, locked="\n{% if reason == 'RULE late' %}{{ missing }}{% endif %}fine")
    with caplog.at_level(logging.ERROR):
        answer = pages.render(Page(PageKind.LOCKED, 403, "RULE late", "ref-3"), None, None, NONCE)
    assert answer.status == 403
    assert "<main>" in body(answer)
    assert f"{tmp_path}/locked.html:2: 'missing' is undefined" in caplog.text
