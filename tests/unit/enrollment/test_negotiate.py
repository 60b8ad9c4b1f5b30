"""What is a Kerberos token in an Authorization field, and what is NTLM in whatever wrapping."""

import base64

import pytest

from gateway.enrollment.negotiate import MAX_FIELD_CHARACTERS, Mechanism, mechanism_of, read_authorization
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused

KERBEROS = bytes.fromhex("06092a864886f712010202")
MS_KERBEROS = bytes.fromhex("06092a864882f712010202")
NTLM = bytes.fromhex("060a2b06010401823702020a")
NEGOEX = bytes.fromhex("060a2b06010401823702021e")
SPNEGO = bytes.fromhex("06062b0601050502")
NTLM_MESSAGE = b"NTLMSSP\0\1\0\0\0" + bytes(28)


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def spnego(*mechanisms: bytes, message: bytes = b"AP-REQ" * 40) -> bytes:
    """NegTokenInit (RFC 4178 §4.2.1)."""
    fields = [der(0xA0, der(0x30, *mechanisms))]
    if message:
        fields.append(der(0xA2, der(0x04, message)))
    return der(0x60, SPNEGO, der(0xA0, der(0x30, *fields)))


@pytest.mark.parametrize(
    ("what", "token", "mechanism"),
    [
        ("SPNEGO with Kerberos", spnego(KERBEROS), Mechanism.KERBEROS),
        ("as Windows has it", spnego(MS_KERBEROS, KERBEROS, NEGOEX, NTLM), Mechanism.KERBEROS),
        ("Kerberos alone", der(0x60, KERBEROS, b"\1\0", b"AP-REQ"), Mechanism.KERBEROS),
        ("NTLM alone", NTLM_MESSAGE, Mechanism.NTLM),
        ("NTLM in SPNEGO", spnego(NTLM, message=NTLM_MESSAGE), Mechanism.NTLM),
        ("NTLM under a false name", spnego(KERBEROS, NTLM, message=NTLM_MESSAGE), Mechanism.NTLM),
        ("NTLM's name first", spnego(NTLM, KERBEROS), Mechanism.NTLM),
        ("NTLM as an initial token", der(0x60, NTLM, NTLM_MESSAGE), Mechanism.NTLM),
        ("NTLM's third message", der(0xA1, der(0x30, der(0xA2, der(4, NTLM_MESSAGE)))), Mechanism.NTLM),
        ("a second message", der(0xA1, der(0x30)), Mechanism.OTHER),
        ("NegoEx first", spnego(NEGOEX, KERBEROS), Mechanism.OTHER),
        ("a question without a ticket", spnego(KERBEROS, message=b""), Mechanism.OTHER),
        ("no mechanism", spnego(), Mechanism.OTHER),
        ("many mechanisms", spnego(*[KERBEROS] * 17), Mechanism.OTHER),
        ("something else for a mechanism", spnego(der(0x02, b"\1")), Mechanism.OTHER),
        ("nothing", b"", Mechanism.OTHER),
        ("cut", spnego(KERBEROS)[:-1], Mechanism.OTHER),
        ("no DER", b"\xff" * 20, Mechanism.OTHER),
    ],
)
def test_the_first_choice_of_the_client_is_told(what: str, token: bytes, mechanism: Mechanism) -> None:
    assert mechanism_of(token) is mechanism, what


def field(token: bytes) -> str:
    return f"Negotiate {base64.b64encode(token).decode()}"


@pytest.mark.parametrize("missing", [None, "Negotiate", "Negotiate ", "negotiate  "])
def test_without_a_token_there_is_none(missing: str | None) -> None:
    assert read_authorization(missing) is None


def test_a_kerberos_token_is_taken_as_it_is() -> None:
    token = spnego(KERBEROS)
    assert read_authorization(field(token)) == token
    assert read_authorization(field(token).replace("Negotiate", "nEGOTIATE")) == token


@pytest.mark.parametrize(
    ("what", "sent", "reason"),
    [
        ("NTLM", field(NTLM_MESSAGE), EnrollmentRefusal.NTLM_REFUSED),
        ("the scheme NTLM", "NTLM TlRMTVNTUAAB", EnrollmentRefusal.NTLM_REFUSED),
        ("another scheme", "Basic YWxpY2U6c2VjcmV0", EnrollmentRefusal.NEGOTIATE_FAILED),
        ("no base64", "Negotiate YIIB*", EnrollmentRefusal.NEGOTIATE_FAILED),
        ("base64 with lines", "Negotiate YIIB\nAAAA", EnrollmentRefusal.NEGOTIATE_FAILED),
        ("no ASCII", "Negotiate ÄÖÜ", EnrollmentRefusal.NEGOTIATE_FAILED),
        ("too long", "Negotiate " + "A" * MAX_FIELD_CHARACTERS, EnrollmentRefusal.NEGOTIATE_FAILED),
        ("something else", field(b"hello"), EnrollmentRefusal.NEGOTIATE_FAILED),
    ],
)
def test_what_is_no_kerberos_is_refused(what: str, sent: str, reason: EnrollmentRefusal) -> None:
    with pytest.raises(EnrollmentRefused) as refused:
        read_authorization(sent)
    assert refused.value.reason is reason, what
