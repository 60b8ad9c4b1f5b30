"""Tickets of a real KDC at our side of GSS-API: for which service, how often, and whatever is wrong with
them."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.kerberos import IWA_HOST, Forests, missing_parts
from support.needed_parts import needs

from gateway.adapters.kerberos import KerberosTickets
from gateway.adapters.key_files import KeyFileRefused
from gateway.enrollment.refusals import EnrollmentRefused

pytestmark = [pytest.mark.real, needs("Kerberos", missing_parts)]


def accepting(forests: Forests, directory: Path, service: str = "HTTP") -> KerberosTickets:
    return KerberosTickets(str(forests.iwa_keytab), service, str(directory / "replays"))


def test_a_ticket_tells_who_it_is_of_and_mit_puts_no_account_flags_into_it(
    kerberos: Forests, tmp_path: Path
) -> None:
    """MIT's PAC (since krb5 1.20) has signatures and a name, nothing of the account."""
    found = accepting(kerberos, tmp_path).accept(kerberos.negotiate(kerberos.corp.log_in("alice")), None)
    assert (found.principal, found.logon_info, found.upn_dns_info, found.is_bound) == (
        "alice@CORP.EXAMPLE.TEST",
        None,
        None,
        False,
    )
    assert found.answer


def test_bindings_that_are_not_looked_at_do_not_count(kerberos: Forests, tmp_path: Path) -> None:
    tickets, cache = accepting(kerberos, tmp_path), kerberos.corp.log_in("alice")
    assert tickets.accept(kerberos.negotiate(cache, channel_bindings=b"x"), None).is_bound is False
    assert tickets.accept(kerberos.negotiate(cache, channel_bindings=b"x"), b"x").is_bound is True


def test_a_ticket_that_was_accepted_is_remembered_across_a_restart(kerberos: Forests, tmp_path: Path) -> None:
    token = kerberos.negotiate(kerberos.corp.log_in("alice"))
    accepting(kerberos, tmp_path).accept(token, None)
    with pytest.raises(EnrollmentRefused, match="TICKET_REPLAYED"):
        accepting(kerberos, tmp_path).accept(token, None)
    assert {oct(each.stat().st_mode & 0o777) for each in (tmp_path / "replays").iterdir()} == {"0o600"}


def test_one_host_of_the_service_may_be_all_that_is_wanted(
    kerberos: Forests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = kerberos.corp.log_in("alice")
    tickets = accepting(kerberos, tmp_path, "HTTP@localhost")
    tickets.accept(kerberos.negotiate(cache, "localhost"), None)
    other = kerberos.negotiate(cache, IWA_HOST)
    with pytest.raises(EnrollmentRefused, match=r"NEGOTIATE_FAILED: .* does not match server principal"):
        tickets.accept(other, None)
    # Also where Kerberos itself is told not to look.
    lax = tmp_path / "krb5.conf"
    strict = kerberos.configuration.read_text()
    lax.write_text(strict.replace("[libdefaults]", "[libdefaults]\n  ignore_acceptor_hostname = true"))
    monkeypatch.setenv("KRB5_CONFIG", str(lax))
    tickets = accepting(kerberos, tmp_path, "HTTP@localhost")
    with pytest.raises(EnrollmentRefused, match=r"the ticket is for HTTP/iwa\.corp\.example\.test@"):
        tickets.accept(kerberos.negotiate(cache, IWA_HOST), None)


def test_a_keytab_without_the_service_or_open_to_others_is_not_begun_with(
    kerberos: Forests, tmp_path: Path
) -> None:
    with pytest.raises(KeyFileRefused, match="has no key for LDAP: No key table entry found"):
        accepting(kerberos, tmp_path, "LDAP")
    keytab = tmp_path / "open.keytab"
    shutil.copy(kerberos.iwa_keytab, keytab)
    keytab.chmod(0o640)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        KerberosTickets(str(keytab), "HTTP", str(tmp_path / "replays"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_broken_ticket_is_refused_and_nothing_else(
    kerberos: Forests, tmp_path: Path, data: st.DataObject
) -> None:
    tickets = _Kept.of(kerberos, tmp_path)
    token = _Kept.token
    at = data.draw(st.integers(0, len(token) - 1))
    broken = token[:at] + data.draw(st.binary(min_size=1, max_size=4)) + token[at + 1 :]
    with suppress(EnrollmentRefused):
        found = tickets.accept(broken[: data.draw(st.integers(1, len(broken)))], None)
        assert found.principal == "alice@CORP.EXAMPLE.TEST"


class _Kept:
    """Made once for all examples. The ticket was accepted before: it is a replay where it is whole."""

    tickets: KerberosTickets | None = None
    token = b""

    @classmethod
    def of(cls, forests: Forests, directory: Path) -> KerberosTickets:
        if cls.tickets is None:
            cls.tickets = accepting(forests, directory)
            cls.token = forests.negotiate(forests.corp.log_in("alice"))
            cls.tickets.accept(cls.token, None)
        return cls.tickets
