"""The fast maker of revocation lists, judged by a reader that it shares no code with."""

from cryptography import x509
from support.large_crl import crl_of
from support.pki import Authority


def test_it_is_a_signed_list_with_that_many_different_serial_numbers() -> None:
    authority = Authority.create_root("Corp CA")
    crl = x509.load_pem_x509_crl(crl_of(authority, 3_000))
    assert crl.is_signature_valid(authority.key.public_key())
    assert crl.issuer == authority.certificate.subject
    serials = {entry.serial_number for entry in crl}
    assert len(serials) == len(crl) == 3_000
    assert {serial.bit_length() for serial in serials} == {159}


def test_named_serial_numbers_are_on_it_whatever_their_first_byte() -> None:
    named = [1, 0x7F, 0x80, 0xFF00, 2**159 - 1]
    crl = x509.load_pem_x509_crl(crl_of(Authority.create_root("Corp CA"), 5, named))
    assert len(crl) == 5 + len(named)
    assert {serial for serial in named if crl.get_revoked_certificate_by_serial_number(serial)} == set(named)


def test_an_empty_list_has_no_entries_at_all_and_numbers_rise() -> None:
    authority = Authority.create_root("Corp CA")
    first, second = (x509.load_pem_x509_crl(crl_of(authority, 0)) for _ in range(2))
    assert len(first) == 0
    numbers = [
        crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (first, second)
    ]
    assert numbers[1] == numbers[0] + 1
