"""Which realms' accounts may enroll, and by what login the org knows a person of each.

A trusted forest's domain controllers vouch for their own accounts; nothing keeps them from writing somebody
else's SID or user principal name into a ticket but what is looked at here.
"""

from collections.abc import Sequence

from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.ticket_accounts import TicketAccount
from gateway.model.iwa_settings import RealmSettings

UPN = "upn"
PRINCIPAL = "principal"
NAME_PLACE = "{name}"


class RealmRules:
    """Remembers which domain's SIDs each realm's accounts have, where iwa.yaml does not say."""

    def __init__(self, realms: Sequence[RealmSettings]) -> None:
        self._realms = {each.realm: each for each in realms}
        self._domain_sids = {each.realm: each.domain_sid for each in realms if each.domain_sid is not None}

    def check(self, account: TicketAccount) -> RealmSettings:
        """Raises EnrollmentRefused (REALM_NOT_TRUSTED)."""
        realm = self._realms.get(account.realm)
        if realm is None:
            raise _not_trusted(f"{account.realm} is not listed")
        if account.domain_sid is not None:
            self._check_domain(account.realm, account.domain_sid)
        return realm

    def check_sid(self, realm: str, sid: str) -> None:
        """One that only the realm's directory tells. Raises EnrollmentRefused (REALM_NOT_TRUSTED)."""
        self._check_domain(realm, sid.rpartition("-")[0])

    def _check_domain(self, realm: str, domain_sid: str) -> None:
        known = self._domain_sids.get(realm)
        if known is None:
            if domain_sid in self._domain_sids.values():
                raise _not_trusted(f"{realm} shows SIDs of another realm's domain: {domain_sid}")
            self._domain_sids[realm] = domain_sid
        elif known != domain_sid:
            raise _not_trusted(f"the SIDs of {realm} begin with {known}, not with {domain_sid}")


def login_of(realm: RealmSettings, account: TicketAccount, directory_upn: str | None) -> str:
    """By what the org knows a person. ``directory_upn`` counts more than the ticket's; where there is neither
    it is `name@realm` in lower case, as Active Directory has it. Raises EnrollmentRefused (REALM_NOT_TRUSTED)
    for a user principal name that is not the realm's to give."""
    if realm.login == PRINCIPAL:
        return account.principal
    if realm.login != UPN:
        return realm.login.replace(NAME_PLACE, account.name)
    upn = directory_upn or account.upn or f"{account.name}@{account.realm.lower()}"
    suffix = upn.rpartition("@")[2].lower()
    if realm.upn_suffixes is not None and suffix not in realm.upn_suffixes:
        raise _not_trusted(f"{suffix} is not among the upn_suffixes of {account.realm}")
    return upn


def computer_name(account: TicketAccount, directory_dns_name: str | None) -> str:
    """The computer's DNS name, or its name without `$` where no domain is known."""
    name = account.name.removesuffix("$").lower()
    if directory_dns_name is not None:
        return directory_dns_name
    return f"{name}.{account.dns_domain.lower()}" if account.dns_domain else name


def _not_trusted(detail: str) -> EnrollmentRefused:
    return EnrollmentRefused(EnrollmentRefusal.REALM_NOT_TRUSTED, detail)
