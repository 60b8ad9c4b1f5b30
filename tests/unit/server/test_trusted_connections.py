"""What ends a connection that lasts, and what of it counts as lost trust."""

from datetime import UTC, datetime, timedelta
from typing import cast

from gateway.model.device import NotTrusted, VerifiedDevice
from gateway.model.reasons import TrustReason
from gateway.pki.authority import TrustSnapshot
from gateway.server.channel import Channel
from gateway.server.trusted_connections import TrustedConnections

NOW = datetime(2026, 1, 5, tzinfo=UTC)
NOBODY_IS_TRUSTED = TrustSnapshot(enabled=False, authorities=())
NO_DEVICE = NotTrusted(TrustReason.NO_CERTIFICATE)
DEVICE = VerifiedDevice(
    authority="corp",
    device="urn:uuid:1",
    user=None,
    user_binding_required=False,
    certificate_thumbprint="x",
    certification_path=(),
    not_after=NOW + timedelta(days=1),
)


class _Channel:
    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_a_session_that_ends_closes_its_connection_and_is_no_lost_trust() -> None:
    connections, ended, goes_on = TrustedConnections(), _Channel(), _Channel()
    connections.rests_on(cast(Channel, ended), NO_DEVICE, NOW)
    connections.rests_on(cast(Channel, goes_on), NO_DEVICE, NOW + timedelta(seconds=1))
    assert connections.close_untrusted(NOBODY_IS_TRUSTED, NOW) == 0
    assert (ended.aborted, goes_on.aborted) == (True, False)


def test_a_device_that_is_not_trusted_any_more_is_counted_once_for_each_connection() -> None:
    connections, channels = TrustedConnections(), [_Channel(), _Channel()]
    for channel in channels:
        connections.rests_on(cast(Channel, channel), DEVICE, NOW + timedelta(hours=1))
    assert connections.close_untrusted(NOBODY_IS_TRUSTED, NOW) == 2
    assert all(channel.aborted for channel in channels)
    assert connections.close_untrusted(NOBODY_IS_TRUSTED, NOW) == 0
