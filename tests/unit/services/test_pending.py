"""Challenges that never come back, where several workers each see a part."""

from datetime import UTC, datetime

import pytest

from gateway.model.challenge_stage import ChallengeStage
from gateway.proxy.tokens import Flow
from gateway.services.pending import PendingChallenges

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Marks:
    def __init__(self) -> None:
        self.stages: dict[str, ChallengeStage] = {}

    def begun(self, flow_id: str) -> None:
        assert flow_id not in self.stages

    def mark(self, flow_id: str, stage: ChallengeStage) -> None:
        self.stages[flow_id] = stage

    def stage_of(self, flow_id: str) -> ChallengeStage | None:
        return self.stages.get(flow_id)


def flow(flow_id: str = "f") -> Flow:
    return Flow(
        flow_id=flow_id,
        app="wiki",
        label="n1",
        method="POST",
        return_target="/saml/acs",
        body_digest="",
        user_digest="",
        cookie_digest="",
        origin=None,
        expires_at=int(NOW.timestamp()),
        reference_id="r",
    )


HERE, ELSEWHERE = 0, 1


@pytest.mark.parametrize(
    ("hops", "told"),
    [
        ([], ["never_arrived"]),
        ([("arrived", HERE)], ["never_returned"]),
        ([("arrived", ELSEWHERE)], ["never_returned"]),
        ([("arrived", HERE), ("returned", HERE)], []),
        ([("arrived", ELSEWHERE), ("returned", HERE)], []),
        ([("arrived", HERE), ("returned", ELSEWHERE)], []),
        ([("arrived", ELSEWHERE), ("returned", ELSEWHERE)], []),
    ],
)
def test_whoever_began_a_challenge_learns_how_far_it_came(
    hops: list[tuple[str, int]], told: list[str]
) -> None:
    marks = Marks()
    workers = [PendingChallenges(marks=marks), PendingChallenges(marks=marks)]
    workers[HERE].begin(flow())
    for hop, worker in hops:
        getattr(workers[worker], hop)("f")
    assert [event.stage for event in workers[HERE].expire(NOW)] == told
    assert list(workers[ELSEWHERE].expire(NOW)) == []
