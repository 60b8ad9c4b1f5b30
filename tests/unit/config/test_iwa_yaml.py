"""iwa.yaml: what it becomes, and what is said of every way to get it wrong."""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config.iwa_load import iwa_settings_from, load_iwa_settings
from gateway.config.marked_yaml import load_marked
from gateway.config.validation import ConfigErrors
from gateway.model.iwa_settings import (
    ChannelBindings,
    ComputerRule,
    DirectorySettings,
    IwaLimits,
    IwaSettings,
    PasswordBind,
    RealmSettings,
    SaslBind,
)
from gateway.model.settings import Address

COMPLETE = """\
name: hq-1
org: {url: "https://sso.example.com", ca: org-ca.pem}
listen:
  https: ["10.0.0.5:443"]
  certificate: iwa.pem
  private_key: iwa.key
  metrics: 127.0.0.1:9465
url: https://iwa.corp.example.com/iwa/
kerberos: {keytab: iwa.keytab, service: HTTP@IWA.corp.example.com, computers: pac}
realms:
  - {realm: CORP.EXAMPLE.COM, login: upn, upn_suffixes: [example.com], domain_sid: S-1-5-21-1-2-3}
  - {realm: PARTNER.EXAMPLE, login: upn}
  - {realm: LAB.EXAMPLE, login: "{name}@lab.example"}
directory:
  - realm: CORP.EXAMPLE.COM
    urls: ["ldaps://dc1.corp.example.com", "ldap://dc2.corp.example.com:3268/"]
    base: DC=corp,DC=example,DC=com
    bind: {sasl: gssapi, keytab: iwa.keytab, principal: svc-iwa}
    require_groups: {computers: ["Enrolled computers"], users: []}
    timeout: 3s
  - realm: PARTNER.EXAMPLE
    urls: ["ldaps://dc.partner.example"]
    base: DC=partner,DC=example
    ca: partner-ca.pem
    bind: {user: CN=reader, password_file: partner.password}
trusted_proxies: [10.0.0.9]
limits: {per_principal: 10}
"""


def settings_of(text: str) -> IwaSettings:
    return iwa_settings_from(load_marked(text, "iwa.yaml"), "/etc/iwa/iwa.yaml")


def test_the_complete_file_becomes_settings_with_absolute_paths() -> None:
    assert settings_of(COMPLETE) == IwaSettings(
        source="/etc/iwa/iwa.yaml",
        name="hq-1",
        org_url="https://sso.example.com",
        audience=None,
        org_ca_file="/etc/iwa/org-ca.pem",
        http=(),
        https=(Address("10.0.0.5", 443),),
        certificate="/etc/iwa/iwa.pem",
        private_key="/etc/iwa/iwa.key",
        metrics=Address("127.0.0.1", 9465),
        url="https://iwa.corp.example.com/iwa",
        path="/iwa",
        keytab="/etc/iwa/iwa.keytab",
        service="HTTP@iwa.corp.example.com",
        channel_bindings=ChannelBindings.REQUIRED,
        computers=ComputerRule.PAC,
        realms=(
            RealmSettings("CORP.EXAMPLE.COM", "upn", ("example.com",), "S-1-5-21-1-2-3"),
            RealmSettings("PARTNER.EXAMPLE", "upn", ("partner.example",)),
            RealmSettings("LAB.EXAMPLE", "{name}@lab.example", ("lab.example",)),
        ),
        directories=(
            DirectorySettings(
                realm="CORP.EXAMPLE.COM",
                urls=("ldaps://dc1.corp.example.com", "ldap://dc2.corp.example.com:3268"),
                base="DC=corp,DC=example,DC=com",
                ca_file=None,
                bind=SaslBind("/etc/iwa/iwa.keytab", "svc-iwa"),
                computer_groups=("Enrolled computers",),
                user_groups=(),
                timeout=timedelta(seconds=3),
            ),
            DirectorySettings(
                realm="PARTNER.EXAMPLE",
                urls=("ldaps://dc.partner.example",),
                base="DC=partner,DC=example",
                ca_file="/etc/iwa/partner-ca.pem",
                bind=PasswordBind("CN=reader", "/etc/iwa/partner.password"),
                computer_groups=(),
                user_groups=(),
                timeout=timedelta(seconds=5),
            ),
        ),
        keys="/etc/iwa/var/iwa",
        trusted_proxies=(ip_network("10.0.0.9"),),
        limits=IwaLimits(10, 600, 1_000),
    )


def test_where_there_is_one_realm_its_people_may_have_any_suffix() -> None:
    text = COMPLETE.replace("  - {realm: PARTNER.EXAMPLE, login: upn}\n", "")
    text = text.replace('  - {realm: LAB.EXAMPLE, login: "{name}@lab.example"}\n', "")
    text = text.replace(", upn_suffixes: [example.com]", "").partition("  - realm: PARTNER")[0]
    assert settings_of(text).realms == (RealmSettings("CORP.EXAMPLE.COM", "upn", None, "S-1-5-21-1-2-3"),)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("name: hq-1", "name: hq 1", "iwa.yaml:1: name: must be 1 to 64 letters"),
        ("name: hq-1", "nmae: hq-1", 'nmae: is not a known key; did you mean "name"?'),
        ("https://sso.example.com", "http://sso.example.com", "org.url: must be https://"),
        ("https://sso.example.com", "https://sso.example.com/org", "org.url: must be https://"),
        ('  https: ["10.0.0.5:443"]\n', "", "listen: must have http or https addresses"),
        ("  certificate: iwa.pem\n", "", "listen.certificate: is missing, which https needs"),
        ("  private_key: iwa.key\n", "", "listen.private_key: is missing, which https needs"),
        ("/iwa/\n", "/iwa?a\n", "url: must be an address with a plain path"),
        ("HTTP@IWA.corp", "HTTP/IWA.corp", "kerberos.service: must be HTTP or HTTP@host"),
        ("computers: pac", "computers: name", "kerberos.computers: must be pac or dollar_sign"),
        ("realm: LAB.EXAMPLE", "realm: lab.example", "realms[2].realm: must be a Kerberos realm"),
        ("realm: LAB.EXAMPLE", "realm: CORP.EXAMPLE.COM", "realms[2].realm: is listed already"),
        ('"{name}@lab.example"', '"lab"', 'login: must be upn, principal or a pattern such as "{name}@'),
        ("S-1-5-21-1-2-3", "S-1-5-32-544", "realms[0].domain_sid: must be the SID of a domain"),
        ("realm: PARTNER.EXAMPLE\n", "realm: OTHER\n", "directory[1].realm: is not one of realms"),
        ("realm: PARTNER.EXAMPLE\n", "realm: CORP.EXAMPLE.COM\n", "directory[1].realm: has a directory"),
        ("ldaps://dc1", "http://dc1", "directory[0].urls[0]: must be ldaps://host or ldap://host"),
        (", principal: svc-iwa", "", "directory[0].bind: must have either sasl, keytab and principal, or"),
        ("{user: CN=reader", "{sasl: gssapi, user: CN=reader", "directory[1].bind: must have either sasl"),
        ("timeout: 3s", "timeout: 3m", "directory[0].timeout: must be between 1s and 30s, not 3m"),
        ("per_principal: 10", "per_principal: 0", "limits.per_principal: must be at least 1, not 0"),
        ("[10.0.0.9]", "[0.0.0.0/0]", "would let every client choose its own address"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(before: str, after: str, says: str) -> None:
    assert COMPLETE.count(before) >= 1
    with pytest.raises(ConfigErrors) as refused:
        settings_of(COMPLETE.replace(before, after, 1))
    assert says in str(refused.value)


def test_two_realms_may_not_have_one_pattern() -> None:
    text = COMPLETE.replace("PARTNER.EXAMPLE, login: upn", 'PARTNER.EXAMPLE, login: "{name}@lab.example"')
    with pytest.raises(ConfigErrors, match="two people with one name would be one"):
        settings_of(text)


def test_an_https_address_needs_somebody_who_listens() -> None:
    text = COMPLETE.replace('https: ["10.0.0.5:443"]', 'http: ["10.0.0.5:80"]')
    assert settings_of(text).http  # a proxy does TLS
    with pytest.raises(ConfigErrors, match="url: is https, and nothing listens for it"):
        settings_of(text.replace("trusted_proxies: [10.0.0.9]\n", ""))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"iwa\.yaml: cannot be read: No such file"):
        load_iwa_settings(str(tmp_path / "iwa.yaml"))
