"""Gauges that have to follow what is, not what was when the gateway started."""

from datetime import UTC, datetime, timedelta

from prometheus_client import generate_latest
from support.pki import Authority

from gateway.server.metrics import Metrics
from gateway.tls.contexts import ServerCertificate

NOW = datetime.now(UTC)


def _lines(metrics: Metrics, name: str) -> list[str]:
    return [line for line in generate_latest(metrics.registry).decode().splitlines() if line.startswith(name)]


def test_a_certificate_comes_near_its_end_while_the_gateway_runs() -> None:
    credential = Authority.create_root("Web root").issue_server(["wiki.apps.example.test"])
    ends = credential.certificate.not_valid_after_utc
    metrics = Metrics()
    metrics.certificates([ServerCertificate((credential.certificate,), credential.key)])
    found = []
    for days in (31, 29, 6):
        metrics.count_expiring(ends - timedelta(days=days))
        found.append(
            [line.rpartition(" ")[2] for line in _lines(metrics, "devicetrust_certificates_expiring")]
        )
    assert found == [["0.0", "0.0"], ["0.0", "1.0"], ["1.0", "1.0"]]


def test_an_authority_that_is_gone_leaves_no_next_update_behind() -> None:
    metrics = Metrics()
    metrics.crls({"corp": (3, NOW), "former": (1, NOW)})
    metrics.crls({"corp": (3, None)})
    assert _lines(metrics, "devicetrust_crl_next_update_timestamp_seconds") == []
    assert _lines(metrics, "devicetrust_revoked_certificates") == [
        'devicetrust_revoked_certificates{authority="corp"} 3.0'
    ]
