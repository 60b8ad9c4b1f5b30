"""A store with a row in every table, for tests of what happens to whole stores."""

from datetime import timedelta

from support.org_values import (
    NOW,
    a_certificate,
    a_device,
    a_group,
    a_user,
    an_authority,
    an_event,
    an_iwa,
    reserved,
)

from gateway.adapters.store import Store
from gateway.model.changes import device_deactivated
from gateway.model.issued import PublishedCrl, RevocationReason
from gateway.model.org import (
    ApiToken,
    GatewayRecord,
    Lifecycle,
    NameKind,
    PolicySource,
    SettingName,
    StoredPolicy,
    StoredZone,
    TokenScope,
    WorkerRecord,
)

CERTIFICATES = 2_050  # more than one batch
EVENTS = 200


def fill(store: Store) -> None:
    """Two transactions, with changes and log rows in both."""
    user, device, group, authority = a_user("alice"), a_device(), a_group("staff"), an_authority()
    until = NOW + timedelta(days=9)
    with store.begin() as work:
        work.users.add(user)
        work.devices.add(device)
        work.iwas.add(an_iwa())
        work.deleted_names.keep(NameKind.USER, "bob", NOW)
        work.groups.add(group)
        work.groups.add_member(group.id, user.id)
        work.devices.link(device.id, user.id, NOW)
        work.authorities.add(authority)
        work.certificates.add_many(a_certificate(authority.id, number) for number in range(CERTIFICATES - 1))
        work.certificates.reserve(reserved(a_certificate(authority.id, 2**159 - 1)))
        work.certificates.revoke(authority.issuer_hash, 7, NOW, RevocationReason.KEY_COMPROMISE)
        work.crls.put(PublishedCrl(authority.id, 0, 1, NOW, until, b"crl"))
        work.log.append_many(an_event("a", device.id, user.id) for _ in range(EVENTS))
        work.record(device_deactivated(device.certificate_name))
    with store.begin() as work:
        work.policies.put(
            StoredPolicy(
                "rst1", "wiki", "ü", {"rules": []}, PolicySource.FILE, None, Lifecycle.ACTIVE, 1, NOW, NOW
            )
        )
        work.zones.put(StoredZone("nzo1", "office", {"cidrs": []}, Lifecycle.ACTIVE, NOW, NOW))
        work.settings.put(SettingName.READ_ONLY, {"since": [1.5, None, "\0"]}, NOW)
        work.tokens.add(ApiToken("00T1", "script", TokenScope.READ, b"\0" * 32, "alice", NOW))
        work.one_use.claim(b"\xff" * 32, until, NOW)
        work.one_use.remember_request(b"\1" * 32, "wiki", until)
        work.gateways.report(GatewayRecord("gw1", "one", "0.1.0", NOW, NOW, "fingerprint"))
        work.gateways.report_worker(WorkerRecord("gw1", 0, 1, NOW))
        work.spools.advance("0", 1, 2**40)
        work.log_event(an_event())
        work.record(device_deactivated("urn:other"))
