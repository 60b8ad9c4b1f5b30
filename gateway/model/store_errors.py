"""What use cases and the store have to agree on: how the store says no."""


class StoreError(Exception):
    """The text is one sentence for the person who runs the gateway; it holds no password."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, is locked for too long, has no room, or answers too slowly. What was asked
    for may be tried again later; whether a commit that failed so took effect is not known."""


class StoreDamaged(StoreUnavailable):
    """What is there is no store, or is one no longer."""


class StoreTooOld(StoreError):
    """Needs `devicetrust store migrate` first."""


class StoreTooNew(StoreError):
    """Was written by a later version of this program."""


class UnstorableValue(StoreError):
    """A value that not every engine can keep, such as a text with a NUL character. The caller's fault."""


class AlreadyExists(StoreError):
    """A value that must be unique is taken. ``what`` names it: ``users.login_key``."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is taken already")
        self.what = what


class ReferenceMissing(StoreError):
    """The row refers to one that is not there, or one that is referred to was to be deleted."""


class FeedBroken(StoreError):
    """The changes that were asked for are not all there: take the whole state anew."""
