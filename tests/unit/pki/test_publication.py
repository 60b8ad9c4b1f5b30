"""Names of lists and certificates: written and read back, and fixed for the life of an authority."""

import pytest
from support.own_authority import OwnAuthority

from gateway.model.issued import AuthorityKind
from gateway.pki.publication import (
    PublishedName,
    base_of,
    device_publication,
    issuing_publication,
    read_name,
    shard_urls,
)

OWN = OwnAuthority()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mtls-1-0", PublishedName(AuthorityKind.ISSUING, 1, 0)),
        ("mtls-12-4095", PublishedName(AuthorityKind.ISSUING, 12, 4095)),
        ("root-1-0", PublishedName(AuthorityKind.ROOT, 1, 0)),
        ("mtls-2", PublishedName(AuthorityKind.ISSUING, 2)),
    ],
)
def test_a_name_is_written_and_read_back(text, name):
    assert read_name(text) == name
    assert name.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mtls",
        "mtls-0",
        "mtls-01",
        "mtls-1-01",
        "mtls-1-",
        "mtls-1-0-0",
        "other-1",
        "mtls-1-1234567",
        "mtls-١",
    ],
)
def test_no_other_text_is_a_name(text):
    assert read_name(text) is None


def test_the_base_of_all_urls_is_in_the_authoritys_own_certificate():
    assert base_of(OWN.issuing) == "http://sso.example.test"
    assert base_of(OWN.root) is None
    publication = device_publication(OWN.issuing, 3, 7)
    assert publication.crls == ("http://sso.example.test/crl/mtls-3-7.crl",)
    assert publication.issuers == ("http://sso.example.test/ca/mtls-3.cer",)
    assert publication.ocsp == ("http://sso.example.test/ocsp",)
    assert shard_urls(OWN.issuing, 3, 7) == publication.crls
    assert device_publication(OWN.root, 1, 0).crls == ()


def test_an_issuing_authority_names_the_list_of_its_root():
    publication = issuing_publication("http://sso.example.test", 2)
    assert publication.crls == ("http://sso.example.test/crl/root-2-0.crl",)
    assert publication.issuers == ("http://sso.example.test/ca/root-2.cer",)
