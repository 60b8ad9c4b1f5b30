"""``hardware_key``: whether the device's key is in a TPM, which the authority has verified.

Only the built-in authority says so, of keys that were attested when their certificate was issued
(`gateway.enrollment.attestation`). A device without trust has no key that anything is known of. UNDEFINED
before the device was asked.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.model.decision import DeviceTrust, Match, SignOnRequest
from gateway.policy.conditions import Zones
from gateway.policy.reading import read_choice


class RequiredKey(StrEnum):
    ANY = "any"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class HardwareKey:
    required: RequiredKey

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        if self.required is RequiredKey.ANY:
            return Match.MATCH
        if request.device_trust is DeviceTrust.UNKNOWN:
            return Match.UNDEFINED
        return Match.MATCH if request.hardware_key else Match.NOT_MATCH

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        if self.required is RequiredKey.ANY:
            return "any key"
        if request.device_trust is DeviceTrust.UNKNOWN:
            return "a hardware key is required; the device has not been asked"
        if request.device_trust is DeviceTrust.NOT_TRUSTED:
            return "a hardware key is required; the device is not trusted"
        where = "in hardware" if request.hardware_key else "not in hardware"
        return f"a hardware key is required; the device's key is {where}"


def parse(raw: object) -> HardwareKey:
    """``any`` or ``required``. Raises PolicyInvalid."""
    return HardwareKey(read_choice(raw, (), RequiredKey))
