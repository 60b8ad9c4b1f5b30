"""What the org learns of gateway.yaml."""

from hashlib import sha256
from pathlib import Path

import pytest
from support.policies import PARSERS

from gateway.config.errors import ConfigError
from gateway.config.org_configuration import org_configuration
from gateway.model.settings import Address, AppSettings, FederationProtocol, GatewaySettings, Upstream

POLICY = "name: Wiki\ndefault: deny\nrules:\n  - {name: All, access: allow}\n"


def settings(directory: Path) -> GatewaySettings:
    app = AppSettings(
        name="wiki",
        label="Team wiki",
        host="wiki.apps.example.test",
        upstreams=(Upstream("http", "127.0.0.1", 9000),),
        protocol=FederationProtocol.SAML2,
        identity_provider="idp",
        entity_id="https://wiki.apps.example.test",
        assertion_endpoints=("/acs",),
        policy_file=str(directory / "wiki.yaml"),
        client_conditions=True,
    )
    return GatewaySettings(
        source=str(directory / "gateway.yaml"),
        org_name="acme",
        org_host="sso.example.test",
        mtls_domain="mtls.example.test",
        listen_https=(Address("127.0.0.1", 8443),),
        listen_metrics=None,
        workers=1,
        http2=True,
        public_port=8443,
        mtls_minimum_version="1.2",
        certificates=(),
        device_trust_enabled=False,
        learn_more_url=None,
        authorities=(),
        identity_providers=(),
        zones=(),
        trusted_proxies=(),
        apps=(app,),
        keys_directory=str(directory),
    )


def test_each_app_has_the_document_of_its_policy_file_and_its_digest(tmp_path: Path) -> None:
    (tmp_path / "wiki.yaml").write_text(POLICY)
    configured = org_configuration(settings(tmp_path), PARSERS)
    app = configured.apps["wiki"]
    assert (app.label, app.client_conditions) == ("Team wiki", True)
    assert app.policy == {"name": "Wiki", "default": "deny", "rules": [{"name": "All", "access": "allow"}]}
    assert app.policy_sha256 == sha256(POLICY.encode()).hexdigest()
    assert configured.device_trust_enabled is False


def test_a_policy_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "wiki.yaml").write_text("name: Wiki\nrules: 7\n")
    with pytest.raises(ConfigError, match=r"wiki\.yaml:2: rules: expected a list"):
        org_configuration(settings(tmp_path), PARSERS)
