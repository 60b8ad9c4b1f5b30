"""How far a challenge came, as one worker tells another."""

from enum import StrEnum


class ChallengeStage(StrEnum):
    BEGUN = "begun"  # at this gateway, by whichever worker; told where there are other gateways
    ARRIVED = "arrived"  # at the mTLS host
    RETURNED = "returned"  # to the app's host
