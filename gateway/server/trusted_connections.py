"""Exchanges that rest on a device: with `enforcement: session`, those of a running session.

A request is checked when it comes. One that lasts, a download or a WebSocket, is remembered here, so that
it ends when its device loses trust and not when it pleases.
"""

from datetime import datetime

from gateway.model.device import VerifiedDevice
from gateway.pki.authority import TrustSnapshot
from gateway.pki.trust import recheck
from gateway.server.channel import Channel


class TrustedConnections:
    def __init__(self) -> None:
        self._devices: dict[Channel, VerifiedDevice] = {}

    def rests_on(self, channel: Channel, device: VerifiedDevice) -> None:
        self._devices[channel] = device

    def forget(self, channel: Channel) -> None:
        self._devices.pop(channel, None)

    def close_untrusted(self, trust: TrustSnapshot, now: datetime) -> int:
        """Cut off every connection whose device is no longer trusted; returns how many. A device with several
        connections is looked at once."""
        verdicts: dict[str, bool] = {}
        closed = 0
        for channel, device in list(self._devices.items()):
            trusted = verdicts.get(device.certificate_thumbprint)
            if trusted is None:
                trusted = isinstance(recheck(device, trust, now), VerifiedDevice)
                verdicts[device.certificate_thumbprint] = trusted
            if not trusted:
                del self._devices[channel]
                channel.abort()
                closed += 1
        return closed
