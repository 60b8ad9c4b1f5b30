"""What the org has revoked: base and single changes, against a model that is nothing but sets."""

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.model.device import CertificateId
from gateway.model.org_state import OrgChange
from gateway.pki.own_revocations import OwnRevocations
from gateway.pki.serials import SerialSet

ISSUERS = (b"\1" * 32, b"\2" * 32)
CERTIFICATES = [CertificateId(issuer, serial) for issuer in ISSUERS for serial in (0, 1, 2**159, 2**160 - 1)]
DEVICES = ("urn:device:1", "urn:device:2", "URN:DEVICE:1")
USERS = ("alice@example.test", "straße@example.test")


@dataclass
class Model:
    certificates: set[CertificateId] = field(default_factory=set)
    devices: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)


class Revocations(RuleBasedStateMachine):
    """Changes in any order, alone or many at once, and now and then a new state made of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.own = OwnRevocations()

    @rule(
        changes=st.lists(
            st.one_of(
                st.tuples(st.sampled_from(CERTIFICATES), st.booleans()),
                st.tuples(st.sampled_from(DEVICES), st.booleans()),
                st.tuples(st.sampled_from(USERS), st.booleans()),
            ),
            max_size=5,
        )
    )
    def change(self, changes: list[tuple[CertificateId | str, bool]]) -> None:
        told = []
        for what, taken in changes:
            if isinstance(what, CertificateId):
                told.append(OrgChange(1, certificate=what, revoked=taken))
                chosen: set = self.model.certificates
            elif what in DEVICES:
                told.append(OrgChange(1, device=(what, not taken)))
                chosen = self.model.devices
            else:
                told.append(OrgChange(1, user=(what.casefold(), not taken)))
                chosen = self.model.users
            (chosen.add if taken else chosen.discard)(what)
        self.own = self.own.with_changes(told)

    @rule()
    def new_state(self) -> None:
        self.own = OwnRevocations(
            {
                issuer: SerialSet.of(
                    [
                        each.serial_number.to_bytes(20)
                        for each in self.model.certificates
                        if each.issuer == issuer
                    ]
                )
                for issuer in ISSUERS
            },
            frozenset(self.model.devices),
            frozenset(user.casefold() for user in self.model.users),
        )

    @invariant()
    def says_what_the_model_says(self) -> None:
        own, model = self.own, self.model
        assert {each for each in CERTIFICATES if own.is_revoked(each)} == model.certificates
        assert {each for each in DEVICES if own.is_inactive_device(each)} == model.devices
        assert {each for each in USERS if own.is_inactive_user(each.upper())} == model.users


TestRevocations = Revocations.TestCase


def test_a_change_leaves_what_was_read_before_as_it_was() -> None:
    before = OwnRevocations()
    after = before.with_changes([OrgChange(1, certificate=CERTIFICATES[0], revoked=True)])
    assert (before.is_revoked(CERTIFICATES[0]), after.is_revoked(CERTIFICATES[0])) == (False, True)
