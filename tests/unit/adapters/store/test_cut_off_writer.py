"""A gateway that is cut off in the middle of a transaction, and those who have to go on."""

from contextlib import suppress
from threading import Event, Thread

from support.org_values import a_user

from gateway.adapters.store import Store
from gateway.model.store_errors import StoreError


def test_who_holds_a_lock_and_says_nothing_more_behind_many_rows_keeps_nobody_from_writing(
    postgres_url: str,
) -> None:
    user = a_user("alice")
    store = Store.open(postgres_url)
    with store.begin() as work:
        work.users.add(user)
    held, released = Event(), Event()

    def cut_off() -> None:
        other = Store.open(postgres_url)
        with suppress(StoreError), other.begin() as work:  # its connection is ended
            work.users.get(user.id, lock=True)
            work.users.add_many([a_user(f"user{n}") for n in range(300)])
            held.set()
            assert released.wait(60)
        other.close()

    writer = Thread(target=cut_off)
    writer.start()
    try:
        assert held.wait(20)
        with store.begin() as work:  # raises StoreUnavailable where the lock is not to be had within 10 s
            assert work.users.get(user.id, lock=True) == user
            assert work.users.count() == 1
    finally:
        released.set()
        writer.join(30)
        store.close()
