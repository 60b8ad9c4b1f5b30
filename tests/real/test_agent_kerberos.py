"""The agent's Kerberos against real KDCs and the real IWA web app: tickets, bindings, refusals."""

import base64
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.iwa_process import AUDIENCE, IwaProcess
from support.kerberos import CORP, Forests, missing_parts
from support.needed_parts import needs
from support.pki import Authority, new_key

from gateway.agent.http import Http
from gateway.agent.iwa_client import Asked, IwaClient
from gateway.agent.keytab import computer_principal, read_keytab
from gateway.agent.negotiate import as_computer, as_person, person_principal
from gateway.agent.refusal import Refused
from gateway.agent.trace import PrintedTrace, decoded_token
from gateway.enrollment.channel_bindings import tls_server_end_point
from gateway.enrollment.thumbprints import key_thumbprint

pytestmark = [pytest.mark.real, needs("MIT Kerberos", missing_parts)]


@dataclass(frozen=True)
class Site:
    iwa: IwaProcess
    http: Http
    shown: list[str]  # what --debug would have shown


@pytest.fixture(scope="module")
def site(kerberos_forests: Forests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("iwa")
    authority = Authority.create_root("IWA test root")
    (directory / "ca.pem").write_bytes(authority.pem)
    credential = authority.issue_server(["localhost"])
    with (
        kerberos_forests.entered(),
        IwaProcess.running(kerberos_forests, directory / "iwa", https=credential) as iwa,
    ):
        shown: list[str] = []
        http = Http(str(directory / "ca.pem"), trace=PrintedTrace(shown.append))
        yield Site(iwa, http, shown)
        http.close()


@pytest.fixture
def asked() -> Asked:
    return Asked("n0nce", key_thumbprint(new_key().public_key()))


def test_the_computers_keytab_and_the_persons_cache_get_both_tokens_over_tls(
    kerberos: Forests, site: Site, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    iwa, http = site.iwa, site.http
    client = IwaClient(http, iwa.url)
    computer = as_computer(str(kerberos.corp.computer_keytab("ws1")), None)
    device_token = client.device_token(asked, computer)
    monkeypatch.setenv("KRB5CCNAME", kerberos.corp.log_in("alice"))
    user_token = client.user_token(asked, device_token, as_person())
    told = decoded_token(user_token)
    assert isinstance(told, dict)
    assert told["claims"]["aud"] == AUDIENCE
    assert told["claims"]["device"]["principal"] == f"ws1$@{CORP}"
    assert told["claims"]["user"]["principal"] == f"alice@{CORP}" == person_principal()
    text = "\n".join(site.shown)
    assert user_token.rsplit(".", 1)[1] not in text
    assert "Negotiate … (" in text
    assert f'"principal": "alice@{CORP}"' in text


def test_somebody_elses_tls_between_here_and_there_is_noticed(
    kerberos: Forests, site: Site, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ticket is bound to the certificate that was seen, which is not that of the IWA web app."""
    iwa, http = site.iwa, site.http
    other = Authority.create_root("other").issue_server(["localhost"])
    inspected = tls_server_end_point(other.certificate.public_bytes(Encoding.DER))
    start = as_computer(str(kerberos.corp.computer_keytab("ws1")), None)
    client = IwaClient(http, iwa.url)
    with pytest.raises(Refused) as refused:
        client.device_token(asked, lambda host, _seen: start(host, inspected))
    assert refused.value.refusal.code == "CHANNEL_BINDING_MISMATCH"


def test_a_person_is_no_computer_and_a_computer_no_person(
    kerberos: Forests, site: Site, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    iwa, http = site.iwa, site.http
    client = IwaClient(http, iwa.url)
    monkeypatch.setenv("KRB5CCNAME", kerberos.corp.log_in("alice"))
    with pytest.raises(Refused) as refused:
        client.device_token(asked, as_person())
    assert refused.value.refusal.code == "NOT_A_COMPUTER"
    computer = as_computer(str(kerberos.corp.computer_keytab("ws1")), None)
    token = client.device_token(asked, computer)
    with pytest.raises(Refused) as refused:
        client.user_token(asked, token, computer)
    assert refused.value.refusal.code == "NOT_A_USER"


def test_whoever_has_no_ticket_is_told_what_to_do(kerberos: Forests, site: Site, asked: Asked) -> None:
    iwa, http = site.iwa, site.http
    with pytest.raises(Refused) as refused:
        IwaClient(http, iwa.url).user_token(asked, "x", as_person())
    refusal = refused.value.refusal
    assert (refusal.code, refusal.transient) == ("NO_TICKET", True)
    assert "kinit" in refusal.remedy
    assert person_principal() is None


def test_a_computer_that_was_disabled_gets_no_ticket(kerberos: Forests, site: Site, asked: Asked) -> None:
    iwa, http = site.iwa, site.http
    keytab = str(kerberos.corp.computer_keytab("ws2"))
    kerberos.corp.disable("ws2$")
    try:
        with pytest.raises(Refused) as refused:
            IwaClient(http, iwa.url).device_token(asked, as_computer(keytab, None))
    finally:
        kerberos.corp.enable("ws2$")
    assert refused.value.refusal.code == "ACCOUNT_DISABLED"


def test_a_service_that_the_domain_does_not_know_is_named(kerberos: Forests) -> None:
    keytab = str(kerberos.corp.computer_keytab("ws1"))
    start = as_computer(keytab, None)
    with pytest.raises(Refused) as refused:
        start("unknown.corp.example.test", None).first()
    assert "HTTP/unknown.corp.example.test" in refused.value.refusal.message


def test_no_domain_controller_is_the_network_and_passes() -> None:
    with Forests.running() as forests, forests.entered():
        forests.corp.stop()
        start = as_computer(str(forests.corp.computer_keytab("ws1")), None)
        with pytest.raises(Refused) as refused:
            start("localhost", None).first()
    assert refused.value.refusal.message == "no domain controller can be reached"
    assert refused.value.refusal.transient


def test_a_service_that_does_not_prove_itself_is_not_believed(kerberos: Forests) -> None:
    start = as_computer(str(kerberos.corp.computer_keytab("ws1")), None)
    for answer in (None, b"", b"\x60\x06not it", base64.b64decode("oRQwEqADCgEAoQsGCSqGSIb3EgECAg==")):
        conversation = start("localhost", None)
        conversation.first()
        with pytest.raises(Refused) as refused:
            conversation.finish(answer)
        assert refused.value.refusal.code == "MUTUAL_AUTHENTICATION_FAILED"


def test_a_real_keytab_names_its_computer(kerberos: Forests) -> None:
    entries = read_keytab(kerberos.corp.computer_keytab("ws1").read_bytes())
    assert computer_principal(entries) == f"ws1$@{CORP}"
    assert {each.principal for each in entries} == {f"ws1$@{CORP}", f"host/ws1.corp.example.test@{CORP}"}
    assert all(time.time() - 600 < each.written.timestamp() <= time.time() + 1 for each in entries)
    assert {each.version for each in entries} == {2}


def test_a_keytab_that_cannot_be_used_is_named(tmp_path: Path, kerberos: Forests) -> None:
    (tmp_path / "not.keytab").write_bytes(b"no keytab")
    service = kerberos.iwa_keytab
    for path, said in (
        (tmp_path / "missing.keytab", "cannot be read: No such file"),
        (tmp_path / "not.keytab", "not a keytab of version 0x0502"),
        (service, "has no key of a computer's account"),
    ):
        with pytest.raises(Refused) as refused:
            as_computer(str(path), None)
        assert f"{path}: {said}" in refused.value.refusal.message
        assert os.environ["KRB5CCNAME"]
