"""Why Kerberos did not get through, in words that help. Pure."""

from gateway.agent.refusal import LocalRefusal, Refused, refused
from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal


def no_ticket(said: str, host: str, computer: bool) -> Refused:
    """Why the Kerberos library made no message. It tells its reasons in sentences only: the numbers below
    SPNEGO are renumbered from process to process."""
    text = " ".join(said.split())
    low = text.lower()
    account = "the computer" if computer else "the person"
    if "clock skew" in low:
        return _known(EnrollmentRefusal.CLOCK_SKEW, text)
    if "server not found" in low or ("not found in kerberos database" in low and f"http/{host}" in low):
        return refused(
            LocalRefusal.NO_TICKET,
            f"the domain does not know the service HTTP/{host}",
            f"Register the service principal name HTTP/{host} for the account of the IWA web app "
            "(setspn -S), and see that the address of the IWA web app has the name and not a number.",
            detail=text,
        )
    if "revoked" in low or "locked" in low:
        return _known(EnrollmentRefusal.ACCOUNT_DISABLED, text)
    if "cannot contact any kdc" in low or "unreachable" in low or "cannot find kdc" in low:
        return refused(
            LocalRefusal.NO_TICKET,
            "no domain controller can be reached",
            "Connect to the company network. On it: see the realm's KDCs in DNS or krb5.conf.",
            detail=text,
            transient=True,
        )
    remedy = (
        "See that the computer is joined, and that its keytab has the newest key: adcli update, net ads."
        if computer
        else "Sign on to the computer with the domain account while it reaches the domain, or run kinit."
    )
    return refused(
        LocalRefusal.NO_TICKET,
        f"{account} has no Kerberos ticket",
        remedy,
        detail=text,
        transient=not computer,
    )


def _known(code: EnrollmentRefusal, detail: str) -> Refused:
    told = EXPLANATIONS[code]
    return refused(code, told.sentence, told.remedy, detail=detail, transient=told.transient)


def not_proven(detail: str) -> Refused:
    return refused(
        LocalRefusal.MUTUAL_AUTHENTICATION_FAILED,
        "the IWA web app did not prove that it is in the domain",
        "Somebody else may answer in its name. Else: see its keytab.",
        detail=detail,
        transient=True,
    )


def not_installed(detail: str) -> Refused:
    return refused(
        LocalRefusal.NO_KERBEROS,
        "Kerberos is not installed for the agent",
        "Install it: pip install 'devicetrust-agent[kerberos]' (on Linux it needs libkrb5-dev).",
        detail=detail,
    )
