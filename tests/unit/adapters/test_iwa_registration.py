"""What the IWA web app keeps of its registration: seen when it is written, and not believed when it does not
fit."""

import json
from pathlib import Path

import pytest

from gateway.adapters.iwa_registration import RegistrationFile, load_or_create_key, write_registration
from gateway.adapters.key_files import KeyFileRefused

ORG = "https://sso.example.test"


def test_a_registration_is_seen_as_soon_as_it_is_written(tmp_path: Path) -> None:
    keys = str(tmp_path / "var" / "iwa")
    file = RegistrationFile(keys, ORG)
    assert file.current() is None
    assert "registration.json: No such file" in file.problem
    write_registration(keys, load_or_create_key(keys), "iwa1", "urn:acme", ORG)
    found = file.current()
    assert found is not None
    assert (found.iwa_id, found.audience, found.issuer) == ("iwa1", "urn:acme", "urn:devicetrust:iwa:iwa1")
    write_registration(keys, load_or_create_key(keys), "iwa2", "urn:acme", ORG)
    again = file.current()
    assert again is not None
    assert again.iwa_id == "iwa2"
    assert repr(again).startswith("<")  # with no key in it


def test_its_files_are_for_its_user_alone(tmp_path: Path) -> None:
    keys = tmp_path / "iwa"
    write_registration(str(keys), load_or_create_key(str(keys)), "iwa1", "urn:acme", ORG)
    assert {each.name: oct(each.stat().st_mode & 0o777) for each in keys.iterdir()} == {
        "iwa.key": "0o600",
        "registration.json": "0o600",
    }
    (keys / "iwa.key").chmod(0o640)
    with pytest.raises(KeyFileRefused, match=r"iwa\.key: is open to its group"):
        load_or_create_key(str(keys))


def test_a_registration_of_something_else_does_not_count(tmp_path: Path) -> None:
    keys = tmp_path / "iwa"
    key = load_or_create_key(str(keys))
    file = RegistrationFile(str(keys), ORG)
    path = keys / "registration.json"
    cases = {
        "is no registration": "[]",
        "no registration": "[" * 50_000,
        "is for https://other, not for": json.dumps(
            {"id": "i", "audience": "a", "key_id": "k", "org": "https://other"}
        ),
        "is for another key": json.dumps({"id": "i", "audience": "a", "key_id": "k", "org": ORG}),
        "is no registration; register again": "{",
    }
    for says, content in cases.items():
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_text(content)
        assert file.current() is None
        assert says in file.problem
    write_registration(str(keys), key, "iwa1", "urn:acme", ORG)
    assert file.current() is not None
    path.chmod(0o644)
    assert file.current() is None
    assert "chmod 600" in file.problem
