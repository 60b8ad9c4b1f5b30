"""gateway.yaml: settings or ConfigErrors with printable lines, whatever stands in it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gateway_yaml import COMPLETE

from gateway.config import forms
from gateway.config.load import ConfigErrors, settings_from
from gateway.config.marked_yaml import MarkedDocument, load_marked
from gateway.model.settings import GatewaySettings

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.sampled_from(["deny", "auto", "30s", "http://a", "unix:/a", "10.0.0.0/8", "127.0.0.1:1", "saml2"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BASE: dict[str, Any] = load_marked(COMPLETE, "gateway.yaml").value
READERS = [
    forms.read_address,
    forms.read_assertion_endpoint,
    forms.read_crl_location,
    forms.read_duration,
    forms.read_host_name,
    forms.read_network,
    forms.read_store,
    forms.read_upstream,
    forms.read_web_address,
]


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in below for place in places(inner, (*path, key)))]


def read(value: Any) -> GatewaySettings | ConfigErrors:
    try:
        return settings_from(MarkedDocument("gateway.yaml", value, {(): 1}), "/etc/gateway.yaml")
    except ConfigErrors as refused:
        return refused


def assert_settings_or_printable_errors(result: GatewaySettings | ConfigErrors) -> None:
    if isinstance(result, ConfigErrors):
        assert result.errors
        assert all(str(error).isprintable() for error in result.errors)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(places(BASE)[1:]), VALUES)
def test_any_value_in_any_place_is_settings_or_errors(path: tuple[str | int, ...], value: Any) -> None:
    document = copy.deepcopy(BASE)
    parent: Any = document
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value
    assert_settings_or_printable_errors(read(document))


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from([p for p in places(BASE) if not p or isinstance(p[-1], int)]),
    st.text(max_size=20),
    VALUES,
)
def test_any_key_anywhere_is_settings_or_errors(path: tuple[str | int, ...], key: str, value: Any) -> None:
    document = copy.deepcopy(BASE)
    parent: Any = document
    for part in path:
        parent = parent[part]
    if isinstance(parent, dict):
        parent[key] = value
    assert_settings_or_printable_errors(read(document))


@settings(deadline=None, max_examples=100)
@given(VALUES)
def test_any_document_is_settings_or_errors(value: Any) -> None:
    assert_settings_or_printable_errors(read(value))


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@settings(deadline=None, max_examples=150)
@given(
    text=st.text(max_size=40)
    | st.text(alphabet="/.:[]@%?#;\\ htps0127unixabcdm-\0\t", max_size=30)
    | st.text(alphabet="/.:[]@%?#;\\ 019a-\t", max_size=20).map("http://".__add__)
)
def test_any_text_is_a_value_or_a_sentence(reader: Callable[[str], Any], text: str) -> None:
    sentence = ""
    try:
        reader(text)
    except ValueError as refused:
        sentence = str(refused)
    assert sentence.isprintable()
