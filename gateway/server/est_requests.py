"""Re-enrollment (RFC 7030 §4.2.2) on `est.<mtls_domain>`: over the certificate that is to be renewed.

The certificate of the handshake is judged as in a challenge, also while Device Trust is switched off, and has
to be one of our own CA: the org renews no other. Who shows none, or another, learns why; enrollment for the
first time, and the CA's certificates for everybody, are on the org host.
"""

import re
from dataclasses import replace
from typing import Final

from gateway.model.device import NotTrusted
from gateway.model.http import RequestHead
from gateway.model.reasons import TrustReason
from gateway.pki.path_cache import PathCache
from gateway.pki.trust import verify_device
from gateway.proxy.http1 import RequestStart
from gateway.server.exchange import Requester
from gateway.server.org_passage import OrgPassage
from gateway.services.ports import Clock
from gateway.services.snapshot import Live, Snapshot

EST_LABEL: Final = "est"
# An operation, perhaps behind a label (RFC 7030 §3.2.2); nothing that leads elsewhere.
_EST_PATH: Final = re.compile(rb"/\.well-known/est(/[A-Za-z0-9_-]+){1,2}")
# A device renews once a year.
_CACHED_PATHS: Final = 256


def is_est_path(path: bytes) -> bool:
    return _EST_PATH.fullmatch(path) is not None


class EstRequests:
    def __init__(self, live: Live[Snapshot], clock: Clock, passage: OrgPassage) -> None:
        self._live = live
        self._clock = clock
        self._passage = passage
        self._paths = PathCache(_CACHED_PATHS)

    def begin(
        self, start: RequestStart, head: RequestHead, reference_id: str, connection: Requester
    ) -> NotTrusted | None:
        """Pass the request on; or why not, and then nothing was done. Raises HeadRefused."""
        peer, trust = connection.channel.peer_certificate, replace(self._live.current.trust, enabled=True)
        verdict = verify_device(peer, trust, self._clock.now(), self._paths)
        if isinstance(verdict, NotTrusted):
            return verdict
        if verdict.user is not None and (trust.own is None or trust.own.is_inactive_user(verdict.user)):
            return NotTrusted(TrustReason.USER_DEACTIVATED, "the user is deactivated", verdict.device)
        authority = trust.authority(verdict.authority)
        if authority is None or not authority.settings.builtin or peer is None:
            return NotTrusted(TrustReason.UNKNOWN_ISSUER, "not a certificate of the own CA", verdict.device)
        self._passage.forward(
            start,
            head,
            connection,
            role="mtls",
            reference_id=reference_id,
            certificate_der=peer.end_entity_der,
        )
        return None
