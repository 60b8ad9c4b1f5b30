"""What a managed browser presents by itself, which the gateway's challenge builds on."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from support.certificate_mirror import certificate_mirror
from support.chromium import auto_select, chromium, missing_parts
from support.needed_parts import needs
from support.pki import Authority, Credential

pytestmark = [pytest.mark.real, needs("Chromium", missing_parts)]

NOW = datetime.now(UTC)
CORP = Authority.create_root("Corp root").issue_intermediate("Corp devices")
OTHER = Authority.create_root("Other root").issue_intermediate("Other devices")
TRUSTED = CORP.issue_client("urn:device:1", "alice@example.test", common_name="trusted")
NEWER = CORP.issue_client(
    "urn:device:1", "alice@example.test", common_name="newer", not_after=NOW + timedelta(days=60)
)
EXPIRED = CORP.issue_client(
    "urn:device:1",
    "alice@example.test",
    common_name="expired",
    not_before=NOW - timedelta(days=9),
    not_after=NOW - timedelta(days=1),
)
FOREIGN = OTHER.issue_client("urn:device:1", "alice@example.test", common_name="foreign")


@pytest.mark.parametrize(
    ("installed", "presented"),
    [
        pytest.param([TRUSTED], "CN=trusted", id="the device certificate is presented without a prompt"),
        pytest.param([FOREIGN, TRUSTED], "CN=trusted", id="another issuer's certificate is passed over"),
        pytest.param([FOREIGN], "none", id="another issuer's certificate alone is not presented"),
        pytest.param([], "none", id="no certificate gives a connection without one"),
        pytest.param([TRUSTED, NEWER], "CN=newer", id="of two the one that is valid longer is presented"),
        pytest.param([EXPIRED], "none", id="an expired certificate is not presented"),
    ],
)
def test_the_policy_picks_the_certificate(installed: Sequence[Credential], presented: str) -> None:
    web = Authority.create_root("Web root")
    server = web.issue_server(["*.mtls.example.test"])
    policy = auto_select("https://[*.]mtls.example.test", "Corp devices")
    with (
        certificate_mirror(server, [CORP.certificate]) as port,
        chromium(trusted_root_pem=web.pem, client_certificates=installed, policies=policy) as context,
    ):
        page = context.pages[0]
        page.goto(f"https://n1.mtls.example.test:{port}/")
        assert page.inner_text("body") == presented
