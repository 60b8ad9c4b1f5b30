"""Whatever is killed, and when: what was acknowledged holds. `python -m benchmarks.crashes` does it for
longer."""

from pathlib import Path

import pytest
from support.crashes import crash
from support.fleet import running_gateway

pytestmark = [pytest.mark.real]


def test_what_was_acknowledged_holds_through_twenty_kills(tmp_path: Path) -> None:
    with running_gateway(tmp_path / "site") as world:
        seen = crash(world, kills=20, seed=20_261_126)
    assert seen.wrong == []
    assert sum(seen.kills.values()) == 20
    assert len(seen.used) > 10
    assert len(seen.devices_out) > 2
    assert seen.tried_without_trust > 3
