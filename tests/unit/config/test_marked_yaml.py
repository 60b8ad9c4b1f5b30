"""YAML that a configuration may be written in, and what is refused with its line."""

import textwrap
from typing import Any

import pytest

from gateway.config.errors import ConfigError, did_you_mean, format_key_path
from gateway.config.marked_yaml import MAX_DEPTH, MAX_DOCUMENT_CHARACTERS, load_marked
from gateway.model.quoting import printable

GATEWAY = textwrap.dedent(
    """\
    org:
      name: acme

    apps:
      - name: wiki
        hosts: [a.example.test,
                b.example.test]
      - name: mail
    """
)


def load(text: str) -> Any:
    return load_marked(text, "gateway.yaml").value


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("org",), 1),
        (("org", "name"), 2),
        (("apps",), 4),
        (("apps", 0), 5),
        (("apps", 0, "name"), 5),
        (("apps", 0, "hosts", 1), 7),
        (("apps", 1, "name"), 8),
        (("apps", 1, "policy"), 8),
        (("zones", 3, "cidrs"), 1),
    ],
    ids=str,
)
def test_every_key_and_item_knows_its_line_and_a_missing_one_its_surroundings(
    path: tuple[str | int, ...], line: int
) -> None:
    assert load_marked(GATEWAY, "gateway.yaml").line(path) == line


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("NO", "NO"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("0777", 777),
        ("0o777", 511),
        ("0x1F", 31),
        ("-12", -12),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("true", True),
        ('"true"', "true"),
        ("'12'", "12"),
        ("null", None),
        ("", None),
        ("~", None),
        ("10.0.0.0/8", "10.0.0.0/8"),
        (".inf", ".inf"),
        ("9" * 5000, "9" * 5000),
        ("|\n  12\n", "12\n"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_scalars_are_read_by_the_core_schema_of_yaml_1_2(written: str, value: object) -> None:
    read = load(f"key: {written}")["key"]
    assert (read, type(read)) == (value, type(value))


def test_an_empty_document_is_nothing_and_has_no_line() -> None:
    document = load_marked("# only a comment\n", "gateway.yaml")
    assert (document.value, document.line(("org",))) == (None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "a: 1\nb: 2\na: 3", "x.yaml:3: a: given twice; the first one is on line 1", id="a key given twice"
        ),
        pytest.param(
            "a:\n  - {b: 1, b: 2}",
            "x.yaml:2: a[0].b: given twice; the first one is on line 2",
            id="twice, deeper",
        ),
        pytest.param(
            "a: &x [1]\nb: *x",
            "x.yaml:1: a: anchors and aliases are not allowed; write the value out",
            id="an anchor",
        ),
        pytest.param(
            "a: *x",
            "x.yaml:1: a: anchors and aliases are not allowed; write the value out",
            id="an alias to nothing",
        ),
        pytest.param(
            "<<: {a: 1}", "x.yaml:1: anchors, tags and merge keys are not allowed", id="a merge key"
        ),
        pytest.param(
            "&k a: 1", "x.yaml:1: anchors, tags and merge keys are not allowed", id="an anchor on a key"
        ),
        pytest.param(
            "a: !!int '3'", 'x.yaml:1: a: tags are not allowed: "tag:yaml.org,2002:int"', id="a standard tag"
        ),
        pytest.param(
            "a: !!python/object/apply:os.system [id]",
            'x.yaml:1: a: tags are not allowed: "tag:yaml.org,2002:python/object/apply:os.system"',
            id="a tag that runs code elsewhere",
        ),
        pytest.param("a: 1\n---\nb: 2", "x.yaml:2: a second document in one file", id="two documents"),
        pytest.param("1: a", 'x.yaml:1: the key "1" is not text; put it in quotes', id="a number as key"),
        pytest.param(
            "? [a]\n: b", "x.yaml:1: a key is a word, not a list, a mapping or an alias", id="a list as key"
        ),
        pytest.param("a: 1e999", "x.yaml:1: a: a number too large", id="a number that is infinite"),
        pytest.param(
            "a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
            "x.yaml:1: nested deeper than 32 levels",
            id="nested too deep",
        ),
        pytest.param(
            " " * (MAX_DOCUMENT_CHARACTERS + 1),
            "x.yaml: longer than 1048576 characters",
            id="a document too long",
        ),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_marked(text, "x.yaml")
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: 'x",
        "a:\n\t- b",
        "a: b: c",
        "%YAML 9.9\n---\na: 1",
        "\x00",
        "a: \ud800",
        "a: \x07",
        "@a",
        "{" * 50_000,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_text_that_is_not_yaml_is_one_short_line(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_marked(text, "x.yaml")
    message = str(refused.value)
    assert message.startswith("x.yaml")
    assert "\n" not in message
    assert len(message) < 200


def test_paths_and_values_of_a_file_cannot_write_to_the_terminal() -> None:
    assert format_key_path(("apps", 0, "po\x1b[2Jlicy")) == 'apps[0]["po\\x1b[2Jlicy"]'
    assert printable('a"b\n' + "x" * 80) == '"a\\"b\\n' + "x" * 56 + '…"'


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("polcy", '; did you mean "policy"?'),
        ("zzz", "; known: policy, rules"),
    ],
)
def test_an_unknown_name_gets_a_suggestion_or_the_list(name: str, sentence: str) -> None:
    assert did_you_mean(name, {"rules", "policy"}) == sentence
