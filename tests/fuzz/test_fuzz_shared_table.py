"""A shared table under any sequence of steps by several holders.

Invariant: it answers as a dictionary with end times would; what is claimed stays claimed until its time is
over, whatever else is claimed, put or looked up meanwhile. (Only a full bucket may forget what was put.)
"""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.shared_table import SharedTable

KEYS = st.integers(0, 12).map(lambda number: b"key %d" % number)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "get", "put", "restore"]),
        KEYS,
        st.integers(0, 40),  # seconds that the entry counts
        st.integers(0, 15),  # seconds that pass before
        st.integers(0, 2),  # who
    ),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_it_answers_as_a_dictionary_with_end_times_would(
    steps: list[tuple[str, bytes, int, int, int]],
) -> None:
    first = SharedTable.create("fuzz", 10)
    holders = [first, *(SharedTable.open(os.dup(first.descriptor)) for _ in range(2))]
    model: dict[bytes, tuple[int, bytes]] = {}
    now = 1_000
    try:
        for number, (step, key, lasts, passes, who) in enumerate(steps):
            now += passes
            held = model.get(key)
            counts = held is not None and held[0] >= now
            value = b"%d" % number
            if step == "claim":
                assert holders[who].claim(key, now + lasts, now, value) is not counts
                if not counts:
                    model[key] = now + lasts, value
            elif step == "put":
                holders[who].put(key, now + lasts, value)
                model[key] = now + lasts, value
            elif step == "restore":
                assert holders[who].restore(list(holders[who].entries(now)), now) == 0
            else:
                found = holders[who].get(key, now)
                assert (found is not None) is counts
                if found is not None and held is not None:
                    assert found.rstrip(b"\0") == held[1]
        assert len(list(first.entries(now))) == sum(until >= now for until, _ in model.values())
    finally:
        for holder in holders:
            os.close(holder.descriptor)
