"""Other CAs than the built-in one: the office's, which is trusted too and publishes a CRL, and a stranger."""

from pathlib import Path

from gateway.cli.demo_parts.pki import Credential, DeviceAuthority
from gateway.cli.demo_parts.site import ALICE, CORP_DEVICE, write_private


class OtherAuthorities:
    """Files: ``corp-ca.pem``, ``corp.crl``; ``corp.pem``, ``expired.pem`` and ``foreign.pem``, each with
    certificate and key."""

    def __init__(self, directory: Path) -> None:
        self._crl_file = directory / "corp.crl"
        self._corp = DeviceAuthority("Corp device CA")
        self._computer = self._corp.issue("Alice's office computer", CORP_DEVICE, ALICE.user)
        stranger = DeviceAuthority("Another device CA")
        (directory / "corp-ca.pem").write_bytes(self._corp.certificate_pem)
        for name, credential in {
            "corp": self._computer,
            "expired": self._corp.issue("Alice's old laptop", _device(5), ALICE.user, expired=True),
            "foreign": stranger.issue("Alice's home computer", _device(6), ALICE.user),
        }.items():
            write_private(directory / f"{name}.pem", credential.certificate_pem + credential.key_pem)
        self._publish(())

    def revoke_computer(self) -> None:
        """Put the office's computer on the CRL, which the gateway watches."""
        self._publish((self._computer,))

    def _publish(self, revoked: tuple[Credential, ...]) -> None:
        new = self._crl_file.with_suffix(".new")
        new.write_bytes(self._corp.crl(revoked))
        new.replace(self._crl_file)  # at once: the gateway must never read half a list


def _device(number: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{number:012d}"
