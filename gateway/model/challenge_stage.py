"""How far a challenge came, as one worker tells another."""

from enum import StrEnum


class ChallengeStage(StrEnum):
    ARRIVED = "arrived"  # at the mTLS host
    RETURNED = "returned"  # to the app's host
