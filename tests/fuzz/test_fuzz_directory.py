"""Any answer of a directory: an account, or EntryInvalid; any name: a filter that asks for that name."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.enrollment.directory_entries import (
    ACCOUNT_ATTRIBUTES,
    COMPUTED_ATTRIBUTES,
    EntryInvalid,
    account_filter,
    escaped,
    read_account,
    token_groups,
)
from gateway.enrollment.security_identifiers import sid_octets

bounded = settings(deadline=None, max_examples=300)

VALUES = st.one_of(
    st.binary(max_size=40),
    st.integers(-(2**70), 2**70).map(lambda number: str(number).encode()),
    st.sampled_from([b"512", b"4096", b"0", sid_octets("S-1-5-21-1-2-3-1103"), bytes(16), b"alice"]),
    st.text(max_size=10).map(str.encode),
)


def entries(attributes: tuple[str, ...]) -> st.SearchStrategy[dict[str, list[bytes]]]:
    names = st.sampled_from([name.lower() for name in attributes])
    return st.dictionaries(names, st.lists(VALUES, max_size=2), max_size=len(attributes))


WHOLE = {
    "samaccountname": [b"alice"],
    "objectsid": [sid_octets("S-1-5-21-1-2-3-1103")],
    "objectguid": [bytes(16)],
    "useraccountcontrol": [b"512"],
}


@bounded
@given(entries(ACCOUNT_ATTRIBUTES), entries(COMPUTED_ATTRIBUTES), st.booleans())
def test_an_entry_is_an_account_or_invalid(
    entry: dict[str, list[bytes]], computed: dict[str, list[bytes]], is_whole: bool
) -> None:
    if is_whole:
        entry = {**WHOLE, **dict(list(entry.items())[:1])}
        computed = {"msds-user-account-control-computed": [b"0"], **computed}
    try:
        account = read_account("CN=alice", entry, computed, [])
        token_groups(computed)
    except EntryInvalid:
        return
    assert account.name.isprintable()
    assert account.expires is None or account.expires.tzinfo is not None


@bounded
@given(st.text())
def test_a_name_is_nothing_but_a_value_in_the_filter(name: str) -> None:
    written = account_filter(name.encode(errors="replace").decode(), None)
    value = written.removeprefix("(&(objectClass=user)(sAMAccountName=").removesuffix("))")
    assert re.fullmatch(r"(?:[A-Za-z0-9]|\\[0-9a-f]{2})*", value)


@bounded
@given(st.binary())
def test_escaped_octets_come_back(octets: bytes) -> None:
    plain = re.sub(r"\\(..)", lambda pair: chr(int(pair[1], 16)), escaped(octets))
    assert plain.encode("latin-1") == octets
