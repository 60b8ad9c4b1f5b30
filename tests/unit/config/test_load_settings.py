"""gateway.yaml as a whole: what it becomes, and every way to get it wrong with its line and key."""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from support.gateway_yaml import COMPLETE, changed

from gateway.config.load import ConfigErrors, load_settings, settings_from
from gateway.config.marked_yaml import load_marked
from gateway.model.settings import (
    Address,
    AppSettings,
    AttestationMode,
    AuthoritySettings,
    CaSettings,
    CertificateFiles,
    DeviceFrom,
    Enforcement,
    EnrollmentSettings,
    FederationProtocol,
    GatewaySettings,
    IdentityProviderSettings,
    Limits,
    Upstream,
    UserFrom,
    Zone,
)


def settings_of(text: str) -> GatewaySettings:
    return settings_from(load_marked(text, "gateway.yaml"), "/etc/gateway/gateway.yaml")


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as refused:
        settings_of(text)
    return str(refused.value).splitlines()


def test_the_complete_file_becomes_frozen_settings_with_absolute_paths() -> None:
    assert settings_of(COMPLETE) == GatewaySettings(
        source="/etc/gateway/gateway.yaml",
        org_name="acme",
        org_host="sso.example.test",
        mtls_domain="mtls.example.test",
        listen_https=(Address("127.0.0.1", 8443),),
        listen_metrics=Address("127.0.0.1", 9464),
        workers=1,
        http2=True,
        public_port=8443,
        mtls_minimum_version="1.2",
        certificates=(CertificateFiles("/etc/gateway/certs/apps.pem", "/etc/gateway/certs/apps.key"),),
        device_trust_enabled=True,
        learn_more_url="https://help.example.test/device-trust",
        authorities=(
            AuthoritySettings(
                name="corp",
                certificates="/etc/gateway/certs/corp-ca.pem",
                crls=("/etc/gateway/certs/corp.crl",),
                stale_crl_allowed_for=None,
                user_binding_required=True,
                device_from=DeviceFrom.SAN_URI,
                user_from=UserFrom.SAN_UPN,
            ),
        ),
        identity_providers=(
            IdentityProviderSettings("okta", FederationProtocol.SAML2, "/etc/gateway/idp-metadata.xml"),
        ),
        zones=(Zone("office", (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))),),
        trusted_proxies=(),
        apps=(
            AppSettings(
                name="wiki",
                label="Team wiki",
                host="wiki.apps.example.test",
                upstreams=(Upstream("http", "127.0.0.1", 9000),),
                protocol=FederationProtocol.SAML2,
                identity_provider="okta",
                entity_id="https://wiki.apps.example.test/saml/metadata",
                assertion_endpoints=("/saml/acs",),
                policy_file="/etc/gateway/policies/wiki.yaml",
            ),
        ),
        keys_directory="/etc/gateway/var/keys",
        pages_directory=None,
        limits=Limits(),
        store_url="sqlite:////etc/gateway/var/devicetrust.db",
    )


def test_the_defaults_of_the_file_are_those_of_the_settings() -> None:
    """What the schema says is the default, and what the frozen settings have, are written down twice."""
    text = changed(
        ("  workers: 1\n", ""),
        ('  metrics: "127.0.0.1:9464"\n', ""),
        ("store: sqlite:///var/devicetrust.db\n", ""),
        ("  learn_more_url: https://help.example.test/device-trust\n", ""),
        ("    label: Team wiki\n", ""),
        ("    enforcement: sign_on\n", ""),
        ("    challenge: form\n", ""),
        ("    client_conditions: false\n", ""),
        ("      stale_crl: deny\n", ""),
        ("      user_binding: required\n", ""),
        ("trusted_proxies: []\n", ""),
    )
    short = settings_of(text)
    assert short.limits == Limits()
    assert short.store_url == "sqlite:////etc/gateway/devicetrust.db"
    assert (short.workers, short.listen_metrics, short.learn_more_url) == (1, None, None)
    assert short.apps[0].label == "wiki"
    assert short.apps[0].session_lifetime == timedelta(hours=8)
    assert short.authorities == settings_of(COMPLETE).authorities


@pytest.mark.parametrize(
    ("old", "new", "read", "expected"),
    [
        ("workers: 1", "workers: auto", lambda s: s.workers, 0),
        ("store: sqlite:///var/devicetrust.db", "store: none", lambda s: s.store_url, None),
        (
            "store: sqlite:///var/devicetrust.db",
            "store: sqlite:////srv/trust.db",
            lambda s: s.store_url,
            "sqlite:////srv/trust.db",
        ),
        (
            "store: sqlite:///var/devicetrust.db",
            "store: postgresql://gateway:secret@db/trust",
            lambda s: s.store_url,
            "postgresql://gateway:secret@db/trust",
        ),
        (
            "    - name: corp\n",
            "    - {name: own, builtin: true, user_binding: optional}\n    - name: corp\n",
            lambda s: (s.authorities[0].builtin, s.authorities[0].crls, s.authorities[0].certificates),
            (True, (), ""),
        ),
        (
            "  authorities:\n",
            "  ca: {certificate_lifetime: 90d, superseded: expire, passphrase_file: p}\n  authorities:\n",
            lambda s: s.ca,
            CaSettings(timedelta(days=90), revoke_superseded=False, passphrase_file="/etc/gateway/p"),
        ),
        (
            "  authorities:\n",
            "  enrollment: {grace: 0s, attestation: required, tpm_vendor_authorities: [tpm.pem]}\n"
            "  authorities:\n",
            lambda s: s.enrollment,
            EnrollmentSettings(
                grace=timedelta(0),
                attestation=AttestationMode.REQUIRED,
                tpm_vendor_authorities=("/etc/gateway/tpm.pem",),
            ),
        ),
        ("workers: 1", "http: [0.0.0.0:80]", lambda s: s.listen_http, (Address("0.0.0.0", 80),)),
        ("workers: 1", "public_port: 443", lambda s: s.public_port, 443),
        ('"1.2"', '"1.3"', lambda s: s.mtls_minimum_version, "1.3"),
        ("enabled: true", "enabled: false", lambda s: s.device_trust_enabled, False),
        (
            "stale_crl: deny",
            "stale_crl: {allow_for: 6h}",
            lambda s: s.authorities[0].stale_crl_allowed_for,
            timedelta(hours=6),
        ),
        ("crls: [certs/corp.crl]", "crls: []", lambda s: s.authorities[0].crls, ()),
        (
            "crls: [certs/corp.crl]",
            "crls: [http://pki.example.test/corp.crl, /srv/corp.crl]",
            lambda s: s.authorities[0].crls,
            ("http://pki.example.test/corp.crl", "/srv/corp.crl"),
        ),
        (
            "user_binding: required",
            "user_binding: optional",
            lambda s: s.authorities[0].user_binding_required,
            False,
        ),
        ("trusted_proxies: []", "pages: pages", lambda s: s.pages_directory, "/etc/gateway/pages"),
        ("trusted_proxies: []", "keys: /var/keys", lambda s: s.keys_directory, "/var/keys"),
        (
            "trusted_proxies: []",
            "trusted_proxies: [10.0.0.5]",
            lambda s: s.trusted_proxies,
            (ip_network("10.0.0.5"),),
        ),
        (
            "trusted_proxies: []",
            "limits: {idle_timeout: 5m, max_body_bytes: 2048}",
            lambda s: (s.limits.idle_timeout_seconds, s.limits.max_body_bytes),
            (300.0, 2048),
        ),
        (
            "enforcement: sign_on",
            "enforcement: session",
            lambda s: s.apps[0].enforcement,
            Enforcement.SESSION,
        ),
        ("host: wiki.apps", "host: WIKI.Apps", lambda s: s.apps[0].host, "wiki.apps.example.test"),
        (
            "upstream: http://127.0.0.1:9000",
            "upstream: https://wiki.internal\n    upstream_ca: roots.pem",
            lambda s: s.apps[0].upstreams,
            (Upstream("https", "wiki.internal", 443, ca_file="/etc/gateway/roots.pem"),),
        ),
        (
            "upstream: http://127.0.0.1:9000",
            "upstream: [https://a.internal, unix:/run/b.sock]\n    upstream_ca: roots.pem",
            lambda s: s.apps[0].upstreams,
            (
                Upstream("https", "a.internal", 443, ca_file="/etc/gateway/roots.pem"),
                Upstream("unix", path="/run/b.sock"),
            ),
        ),
        (
            "trusted_proxies: []",
            "limits: {upstream_queue_timeout: 2s, max_upstream_connections: 20, max_upstream_queue: 0}",
            lambda s: (
                s.limits.upstream_queue_timeout_seconds,
                s.limits.max_upstream_connections,
                s.limits.max_upstream_queue,
            ),
            (2.0, 20, 0),
        ),
        (
            "enforcement: sign_on",
            "session_lifetime: 30m\n    factor_contexts: [urn:mfa]\n    decryption_key: sp.key",
            lambda s: (s.apps[0].session_lifetime, s.apps[0].factor_contexts, s.apps[0].decryption_key),
            (timedelta(minutes=30), frozenset({"urn:mfa"}), "/etc/gateway/sp.key"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_reaches_the_setting_that_it_is_about(old, new, read, expected) -> None:
    assert read(settings_of(changed((old, new)))) == expected


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("  name: acme", "  name: 7", "2: org.name: must be text (put it in quotes)"),
        ("  name: acme\n", "", "1: org.name: is missing"),
        ("org:\n", "orgs:\n", '1: orgs: is not a known key; did you mean "org"?'),
        ("    policy:", "    polcy:", '42: apps[0].polcy: is not a known key; did you mean "policy"?'),
        ("enabled: true", "enabled: yes", "15: device_trust.enabled: must be true or false"),
        ("workers: 1", "workers: 0", "8: listen.workers: must be auto or a number between 1 and 256"),
        ("workers: 1", "workers: true", "8: listen.workers: must be auto or a number between 1 and 256"),
        ("workers: 1", 'public_port: "443"', "8: listen.public_port: must be a whole number"),
        ("workers: 1", "public_port: 0", "8: listen.public_port: must be at least 1, not 0"),
        ("workers: 1", "public_port: 65536", "8: listen.public_port: must be at most 65535, not 65536"),
        ('["127.0.0.1:8443"]', "[]", "6: listen.https: must have at least 1 item"),
        ('["127.0.0.1:8443"]', '"127.0.0.1:8443"', "6: listen.https: must be a list"),
        ('"1.2"', "1.2", '10: tls.mtls_minimum_version: must be in quotes: "1.2" or "1.3"'),
        ('"1.2"', '"1.1"', '10: tls.mtls_minimum_version: must be "1.2" or "1.3", not "1.1"'),
        (
            "stale_crl: deny",
            "stale_crl: allow",
            "21: device_trust.authorities[0].stale_crl: must be deny or {allow_for: DURATION}",
        ),
        (
            "stale_crl: deny",
            "stale_crl: {}",
            "21: device_trust.authorities[0].stale_crl.allow_for: is missing",
        ),
        (
            "stale_crl: deny",
            "stale_crl: {allow_for: null}",
            "21: device_trust.authorities[0].stale_crl: needs a duration after allow_for, such as 6h",
        ),
        (
            "stale_crl: deny",
            "stale_crl: {allow_for: 60d}",
            "21: device_trust.authorities[0].stale_crl.allow_for: must be between 1m and 30d, not 60d",
        ),
        (
            "device_from: san_uri",
            "device_from: san_url",
            "23: device_trust.authorities[0].device_from: must be san_uri, san_dns, subject_cn or "
            'subject_serial_number, not "san_url"',
        ),
        (
            "trusted_proxies: []",
            "limits: {max_head_bytes: 1.5}",
            "29: limits.max_head_bytes: must be a whole number",
        ),
        (
            "upstream: http://127.0.0.1:9000",
            "upstream: ftp://127.0.0.1",
            "34: apps[0].upstream: must be an absolute URL beginning with http:// or https://, "
            'not "ftp://127.0.0.1"',
        ),
        (
            "upstream: http://127.0.0.1:9000",
            "upstream: [http://127.0.0.1:9000, 7]",
            "34: apps[0].upstream[1]: must be text (put it in quotes)",
        ),
        (
            "upstream: http://127.0.0.1:9000",
            "upstream: []",
            "34: apps[0].upstream: must have at least 1 item",
        ),
        (
            "upstream: http://127.0.0.1:9000",
            "upstream: 9000",
            "34: apps[0].upstream: must be an address or a list of addresses",
        ),
        (
            "trusted_proxies: []",
            "trusted_proxies: [0.0.0.0/0]",
            "29: trusted_proxies[0]: would let every client choose its own address; "
            "name the proxies' networks",
        ),
        (
            '{name: office, cidrs: [10.0.0.0/8, "2001:db8::/32"]}',
            "office",
            "28: zones[0]: must be a mapping of keys and values",
        ),
    ],
    ids=lambda value: value.strip() if isinstance(value, str) else "",
)
def test_a_wrong_value_is_named_with_its_line_and_key(old: str, new: str, complaint: str) -> None:
    assert f"gateway.yaml:{complaint}" in complaints(changed((old, new)))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "host: sso.example.test",
            "host: sso.mtls.example.test",
            "3: org.host: must not be under mtls_domain mtls.example.test: every host there is a challenge",
        ),
        (
            '["127.0.0.1:8443"]',
            '["127.0.0.1:8443", "127.0.0.1:8443"]',
            "6: listen.https[1]: repeats item [0]; each must be different",
        ),
        (
            '"127.0.0.1:9464"',
            '"127.0.0.1:8443"',
            "7: listen.metrics: is also an https address; metrics need one of their own",
        ),
        (
            "      certificates: certs/corp-ca.pem\n",
            "",
            "18: device_trust.authorities[0].certificates: is missing",
        ),
        (
            "      crls: [certs/corp.crl]\n",
            "",
            "18: device_trust.authorities[0].crls: is missing; "
            "write [] only if its certificates are never revoked",
        ),
        (
            "    - name: corp\n",
            "    - {name: own, builtin: true, crls: []}\n    - name: corp\n",
            "18: device_trust.authorities[0].crls: is not for the builtin authority: the store has its own",
        ),
        (
            "    - name: corp\n",
            "    - {name: own, builtin: true}\n    - {name: own2, builtin: true}\n    - name: corp\n",
            "19: device_trust.authorities[1].builtin: is already item [0]; there is one CA in the store",
        ),
        (
            "  authorities:\n",
            "  ca: {certificate_lifetime: 30d}\n  authorities:\n",
            "17: device_trust.ca.renew_before: is not shorter than certificate_lifetime",
        ),
        (
            "  authorities:\n",
            "  enrollment: {attestation: required}\n  authorities:\n",
            "17: device_trust.enrollment.attestation: needs tpm_vendor_authorities: no TPM would ever be "
            "believed",
        ),
        (
            "  workers: 1\n",
            "  workers: 1\n  http: [127.0.0.1:8443]\n",
            "9: listen.http[0]: is also another listener's; plain HTTP needs one of its own",
        ),
        (
            "user_from: san_upn",
            "user_from: none",
            "24: device_trust.authorities[0].user_from: must name a part of the certificate "
            "where user_binding is required: no user would ever match",
        ),
        (
            "identity_provider: okta",
            "identity_provider: otka",
            '36: apps[0].identity_provider: no identity provider is named "otka"; did you mean "okta"?',
        ),
        (
            "    protocol: saml2",
            "    protocol: ws-fed",
            '35: apps[0].protocol: is ws-fed, but identity provider "okta" is saml2',
        ),
        (
            "host: wiki.apps.",
            "host: sso.",
            "33: apps[0].host: is the org host, which the gateway answers itself",
        ),
        (
            "host: wiki.apps.",
            "host: wiki.mtls.",
            "33: apps[0].host: must not be under mtls_domain mtls.example.test: "
            "every host there is a challenge",
        ),
        (
            "[/saml/acs]",
            "[/saml/acs, /saml/acs]",
            "38: apps[0].assertion_endpoints[1]: repeats item [0]; each must be different",
        ),
        (
            "upstream: http://127.0.0.1:9000",
            "upstream: [http://127.0.0.1:9000, unix:/run/b.sock, http://127.0.0.1:9000/]",
            "34: apps[0].upstream[2]: repeats item [0]; each must be different",
        ),
        (
            "    label: Team wiki",
            "    upstream_ca: roots.pem",
            "32: apps[0].upstream_ca: is for an https upstream only",
        ),
        (
            "metadata: idp-metadata.xml",
            "metadata: m.xml, allow_missing_subject_confirmation: true",
            "26: identity_providers[0].allow_missing_subject_confirmation: is for ws-fed only: "
            "a SAML 2.0 sign-on always confirms its subject",
        ),
        (
            "trusted_proxies: []",
            "limits: {max_head_bytes: 8192}",
            "29: limits.max_target_bytes: is larger than max_head_bytes, of which the target is a part",
        ),
    ],
    ids=lambda value: value.strip() if isinstance(value, str) else "",
)
def test_a_contradiction_is_named_where_it_has_to_be_changed(old: str, new: str, complaint: str) -> None:
    assert complaints(changed((old, new))) == [f"gateway.yaml:{complaint}"]


SECOND_APP = """\
  - name: second
    host: second.apps.example.test
    upstream: unix:/run/second.sock
    protocol: saml2
    identity_provider: okta
    entity_id: https://second.apps.example.test
    assertion_endpoints: [/acs]
    policy: policies/wiki.yaml
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("name: second", "name: wiki", "43: apps[1].name: repeats item [0]; each must be different"),
        ("host: second.", "host: Wiki.", "44: apps[1].host: repeats item [0]; each must be different"),
        (
            "entity_id: https://second.apps.example.test",
            "entity_id: https://wiki.apps.example.test/saml/metadata",
            '48: apps[1].entity_id: is also that of app "wiki": an assertion for one would fit the other',
        ),
    ],
    ids=["two apps of one name", "two apps on one host", "two apps of one audience"],
)
def test_two_apps_cannot_be_mistaken_for_each_other(old: str, new: str, complaint: str) -> None:
    assert complaints(COMPLETE + changed((old, new), text=SECOND_APP)) == [f"gateway.yaml:{complaint}"]


def test_two_different_apps_stand_beside_each_other() -> None:
    assert [app.name for app in settings_of(COMPLETE + SECOND_APP).apps] == ["wiki", "second"]


def test_enabled_device_trust_without_an_authority_is_refused() -> None:
    start = COMPLETE.index("    - name: corp")
    end = COMPLETE.index("identity_providers:")
    text = COMPLETE[:start] + COMPLETE[end:]
    assert complaints(text.replace("authorities:", "authorities: []")) == [
        "gateway.yaml:17: device_trust.authorities: must name at least one authority, "
        "or else no device is ever trusted"
    ]


def test_all_errors_are_shown_at_once_from_the_top_down() -> None:
    text = changed(("8443", "99999"), ("enabled: true", "enabled: 1"), ("    upstream:", "    upstraem:"))
    assert complaints(text) == [
        'gateway.yaml:6: listen.https[0]: must have a port between 1 and 65535, not "99999"',
        "gateway.yaml:15: device_trust.enabled: must be true or false",
        "gateway.yaml:31: apps[0].upstream: is missing",
        'gateway.yaml:34: apps[0].upstraem: is not a known key; did you mean "upstream"?',
    ]


@pytest.mark.parametrize("text", ["", "- a\n", "7", "just words"])
def test_a_file_that_is_no_mapping_is_refused_as_a_whole(text: str) -> None:
    assert len(complaints(text)) == 1
    assert complaints(text)[0].endswith("must be a mapping of keys and values")


def test_an_error_never_carries_an_escape_sequence_to_the_terminal() -> None:
    [complaint] = complaints(changed(("host: wiki.apps.example.test", 'host: "wiki\\e[31m"')))
    assert complaint.isprintable()


class TestFiles:
    def test_relative_paths_refer_to_the_directory_of_the_link_that_was_named(self, tmp_path: Path) -> None:
        """Mounted configuration consists of links into a versioned directory."""
        (tmp_path / "..data").mkdir()
        (tmp_path / "..data" / "gateway.yaml").write_text(COMPLETE)
        (tmp_path / "gateway.yaml").symlink_to(tmp_path / "..data" / "gateway.yaml")
        settings = load_settings(str(tmp_path / "gateway.yaml"))
        assert settings.source == str(tmp_path / "gateway.yaml")
        assert settings.apps[0].policy_file == str(tmp_path / "policies" / "wiki.yaml")

    def test_a_relative_name_becomes_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "gateway.yaml").write_text(COMPLETE)
        monkeypatch.chdir(tmp_path)
        assert load_settings("gateway.yaml").source == str(tmp_path / "gateway.yaml")

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (None, "cannot be read: No such file or directory"),
            (b"org:\n  name: \xff\n", "2: is not UTF-8 text"),
            (b"org: [\n", "not YAML"),
            (b"org: 1\norg: 2\n", "2: org: given twice"),
            (b" " * 5_000_000, "is larger than 4194304 bytes"),
        ],
        ids=["missing", "not UTF-8", "not YAML", "a key given twice", "far too large"],
    )
    def test_a_file_that_cannot_be_read_is_one_error_with_its_name(
        self, tmp_path: Path, content: bytes | None, complaint: str
    ) -> None:
        path = tmp_path / "gateway.yaml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigErrors) as refused:
            load_settings(str(path))
        assert len(refused.value.errors) == 1
        assert str(refused.value).startswith(f"{path}:")
        assert complaint in str(refused.value)
