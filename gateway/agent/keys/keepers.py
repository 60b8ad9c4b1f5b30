"""Which keeper has a key: by the setting for new ones, by the name for those that are there.

What needs more than the agent's own dependencies is imported only when it is asked for.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from gateway.agent.keys.device_key import DeviceKey, KeyFailed, KeyKeeper, storage_of
from gateway.agent.keys.file import FileKeys
from gateway.agent.platform import Platform, PlatformKey, PlatformRequest
from gateway.agent.settings import KeyStorage, Settings

PLATFORM_STORAGE: Final = "platform"


class Keepers(Protocol):
    def for_new_keys(self) -> KeyKeeper: ...
    def of(self, name: str) -> KeyKeeper: ...


class ConfiguredKeepers:
    """By the settings. ``directory`` is the agent's, of this user."""

    def __init__(self, settings: Settings, directory: Path, platform: Platform) -> None:
        self._settings = settings
        self._directory = directory
        self._platform = platform

    def for_new_keys(self) -> KeyKeeper:
        """Raises KeyFailed where what the setting asks for is not installed."""
        storage = self._settings.key_storage
        if storage is None:
            return self.of("file-" if self._platform.name == "LINUX" else f"{PLATFORM_STORAGE}-")
        return self.of(f"{storage.value}-")

    def of(self, name: str) -> KeyKeeper:
        """By the name's beginning. Raises KeyFailed."""
        kind = storage_of(name)
        make: Callable[[], KeyKeeper] | None = {
            KeyStorage.FILE.value: self._files,
            KeyStorage.TPM.value: self._tpm,
            KeyStorage.PKCS11.value: self._pkcs11,
            PLATFORM_STORAGE: self._of_platform,
        }.get(kind)
        if make is None:
            raise KeyFailed(f"this agent has no key storage {kind!r}")
        return make()

    def _files(self) -> KeyKeeper:
        return FileKeys(self._directory / "keys")

    def _tpm(self) -> KeyKeeper:
        from gateway.agent.keys.tpm import DEFAULT_TCTI, TpmKeys
        from gateway.agent.keys.tpm_token import TpmToken, default_store

        tcti = self._settings.tpm_tcti
        token = TpmToken(default_store(), tcti)
        return TpmKeys(self._directory / "keys", tcti or DEFAULT_TCTI, token)

    def _pkcs11(self) -> KeyKeeper:
        from gateway.agent.keys.pkcs11 import Pkcs11Keys

        settings = self._settings
        if settings.pkcs11_module is None:
            raise KeyFailed("no PKCS #11 module is set", "Set Pkcs11Module to the path of its library.")
        return Pkcs11Keys(settings.pkcs11_module, settings.pkcs11_token, settings.pkcs11_pin_file)

    def _of_platform(self) -> KeyKeeper:
        return PlatformKeys(self._platform)


class PlatformKeys:
    """Keys that the platform's own store makes and keeps: Windows and macOS. The agent can ask for a
    certificate with them and install it; what else is signed with them, the platform signs."""

    storage: Final = PLATFORM_STORAGE

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def create(self, name: str) -> DeviceKey:
        request = self._platform.new_request(name)
        if request is None:
            raise KeyFailed("this system keeps no keys for the agent", "Set KeyStorage to file.")
        return _KeyOfPlatform(name, request)

    def open(self, name: str) -> DeviceKey | None:
        """The store has it beside the certificate, and finds it by that."""
        return None

    def delete(self, name: str) -> None:
        """Goes with the certificate."""

    def names(self) -> frozenset[str]:
        return frozenset()


class _KeyOfPlatform:
    def __init__(self, name: str, request: PlatformRequest) -> None:
        self.name = name
        self._request = request

    @property
    def storage(self) -> str:
        return PLATFORM_STORAGE

    @property
    def place(self) -> PlatformKey:
        return self._request.key

    def public_key(self) -> EllipticCurvePublicKey:
        key = x509.load_der_x509_csr(self._request.request_der).public_key()
        if not isinstance(key, EllipticCurvePublicKey):
            raise KeyFailed("the system made a key that is not on P-256")
        return key

    def sign(self, data: bytes) -> bytes:
        raise KeyFailed("the system's store signs certification requests only")

    def certification_request(self) -> bytes:
        return self._request.request_der
