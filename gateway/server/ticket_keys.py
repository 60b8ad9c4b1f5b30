"""The keys that session tickets of app hosts are sealed with: the same in all workers, so that a session
resumes with whichever it meets.

All follow from one secret that is never on disk and is replaced now and then: who takes it from the memory of
a process can read no ticket of an earlier time. Each certificate has keys of its own, so that no session of
one host resumes as one of another certificate's. mTLS hosts have no tickets.
"""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.server.hosts import HostTable, Role
from gateway.tls.contexts import TICKET_KEY_BYTES, SetTicketKeys

TICKET_SECRET_BYTES: Final = 32
# A session that is older than two hours is not resumed anyway (OpenSSL's default).
TICKET_SECRET_SECONDS: Final = 8 * 3_600.0


class TicketKeys:
    """``set_keys`` None: contexts keep the keys that OpenSSL gave them."""

    def __init__(self, secret: bytes, set_keys: SetTicketKeys | None) -> None:
        self._secret = secret
        self._set_keys = set_keys

    @property
    def are_shared(self) -> bool:
        return self._set_keys is not None

    def replace_secret(self, secret: bytes, hosts: HostTable) -> None:
        """From now on: tickets of before lead to a full handshake."""
        self._secret = secret
        self.apply(hosts)

    def apply(self, hosts: HostTable) -> None:
        """Give all app contexts of a table their keys."""
        if self._set_keys is None:
            return
        for (role, made_of), context in hosts.made.items():
            if role is Role.APP:
                self._set_keys(context.context, self._keys_for(made_of))

    def _keys_for(self, made_of: bytes) -> bytes:
        derivation = HKDF(SHA256(), TICKET_KEY_BYTES, salt=None, info=b"session tickets " + made_of)
        return derivation.derive(self._secret)
