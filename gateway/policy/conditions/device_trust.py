"""``device_trust``: whether the device showed a certificate that passed every check.

UNDEFINED before the device was asked: that is what makes the gateway send a challenge.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.model.decision import DeviceTrust, Match, SignOnRequest
from gateway.policy.conditions import Zones
from gateway.policy.reading import read_choice


class RequiredTrust(StrEnum):
    ANY = "any"
    TRUSTED = "trusted"
    NOT_TRUSTED = "not_trusted"


@dataclass(frozen=True, slots=True)
class DeviceTrustCondition:
    required: RequiredTrust

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        if self.required is RequiredTrust.ANY:
            return Match.MATCH
        if request.device_trust is DeviceTrust.UNKNOWN:
            return Match.UNDEFINED
        trusted = request.device_trust is DeviceTrust.TRUSTED
        return Match.MATCH if trusted is (self.required is RequiredTrust.TRUSTED) else Match.NOT_MATCH

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        if self.required is RequiredTrust.ANY:
            return "any trust"
        if request.device_trust is DeviceTrust.UNKNOWN:
            return f"{self.required} is required; the device has not been asked"
        return f"{self.required} is required; the device is {request.device_trust}"


def parse(raw: object) -> DeviceTrustCondition:
    """``any``, ``trusted`` or ``not_trusted``. Raises PolicyInvalid."""
    return DeviceTrustCondition(read_choice(raw, (), RequiredTrust))
