"""How long a process that ended waits for the next one."""

from gateway.server.start_pauses import StartPauses


def test_one_that_ran_well_is_replaced_at_once_and_one_that_did_not_ever_later() -> None:
    now = [0.0]
    pauses = StartPauses(lambda: now[0])
    waited = []
    for lived in (60, 1, 1, 1, 1, 1, 1, 1, 1, 1, 60, 1):
        pauses.started()
        now[0] += lived
        waited.append(pauses.next_seconds())
    assert waited == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 0, 0.1]
