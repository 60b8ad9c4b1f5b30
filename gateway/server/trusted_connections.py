"""Exchanges that rest on a device: with `enforcement: session`, those of a running session.

A request is checked when it comes. One that lasts, a download or a WebSocket, is remembered here, so that
it ends when its device loses trust or its session ends, and not when it pleases.
"""

from datetime import datetime

from gateway.model.device import TrustVerdict, VerifiedDevice
from gateway.pki.authority import TrustSnapshot
from gateway.pki.trust import recheck
from gateway.server.exchange import Line


class TrustedConnections:
    def __init__(self) -> None:
        self._devices: dict[Line, tuple[TrustVerdict, datetime | None]] = {}

    def rests_on(self, channel: Line, verdict: TrustVerdict, session_ends: datetime | None) -> None:
        """``verdict`` need not be a device: where the policy asks for none, the session ends all the same."""
        self._devices[channel] = (verdict, session_ends)

    def forget(self, channel: Line) -> None:
        self._devices.pop(channel, None)

    def close_untrusted(self, trust: TrustSnapshot, now: datetime) -> int:
        """Cut off every connection whose session has ended or whose device is no longer trusted; returns how
        many of the latter. A device with several connections is looked at once."""
        verdicts: dict[str, bool] = {}
        lost = 0
        for channel, (device, session_ends) in list(self._devices.items()):
            trusted = True
            if isinstance(device, VerifiedDevice):
                known = verdicts.get(device.certificate_thumbprint)
                if known is None:
                    known = isinstance(recheck(device, trust, now), VerifiedDevice)
                    verdicts[device.certificate_thumbprint] = known
                trusted = known
            if not trusted or (session_ends is not None and session_ends <= now):
                del self._devices[channel]
                channel.abort()
                lost += not trusted
        return lost
