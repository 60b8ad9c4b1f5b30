"""The page for people who try the IWA web app with a browser: who they are, and whether that would do. The
same as JSON for those who ask for it."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.enrollment.pac import AccountKind
from gateway.enrollment.refusal_answers import refusal_document
from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefused
from gateway.server.page_negotiation import HTML, preferred_media_type
from gateway.server.page_templates import own_template
from gateway.services.iwa import Looked

_TEMPLATE: Final = own_template("iwa.html")
_NONCE_BYTES: Final = 16
_ASKED_HINTS: Final = (
    "Chrome and Edge send one to the sites that the policy AuthServerAllowlist names, Firefox to those in "
    "network.negotiate-auth.trusted-uris.",
    "On this computer, klist shows whether you have tickets at all; kinit gets one.",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A complete answer but for what every answer has. ``headers`` are for this one."""

    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def wants_html(accept: str | None) -> bool:
    return preferred_media_type(None if accept is None else accept.encode("latin-1", "replace")) == HTML


def known_page(
    looked: Looked, facts: Mapping[str, str], name: str, reference_id: str, *, html: bool
) -> Shown:
    """Who came with a ticket. ``facts`` are about the connection; ``name`` is the IWA web app's."""
    document = _account_document(looked, facts, reference_id)
    if not html:
        return _json(document)
    refused = looked.refusal
    what = "computer" if looked.account.kind is AccountKind.COMPUTER else "person"
    if refused is None:
        lead, remedy = f"Your Kerberos ticket was accepted, and this {what} may enroll.", ""
    else:
        explanation = EXPLANATIONS[refused.reason]
        lead = f"Your Kerberos ticket was accepted, but: {explanation.sentence}"
        remedy = explanation.remedy
    return _html(
        name=name,
        ok=refused is None,
        title=f"You are {looked.account.principal}",
        lead=lead,
        remedy=remedy,
        rows=_rows(document),
    )


def refused_page(refused: EnrollmentRefused, name: str, reference_id: str, *, html: bool) -> Shown:
    document = refusal_document(refused, reference_id)
    if not html:
        return _json(document)
    rows = [("Code", document["code"]), ("Detail", document["detail"] or "-"), ("Reference", reference_id)]
    return _html(
        name=name,
        ok=False,
        title=document["message"],
        lead=document["remedy"],
        rows=rows,
    )


def asking_page(refused: EnrollmentRefused, name: str, reference_id: str, *, html: bool) -> Shown:
    """What a browser shows that has no ticket to send, or may not send it."""
    if not html:
        return _json(refusal_document(refused, reference_id))
    return _html(
        name=name,
        ok=False,
        title="Your browser sent no Kerberos ticket",
        lead="This page tells who you are in your company's network, by the ticket that you have there.",
        hints=_ASKED_HINTS,
        rows=[("Code", refused.reason.value), ("Reference", reference_id)],
    )


def _account_document(looked: Looked, facts: Mapping[str, str], reference_id: str) -> dict[str, Any]:
    account, known, refused = looked.account, looked.domain_account, looked.refusal
    return {
        "principal": account.principal,
        "kind": account.kind.value,
        "told_by": account.kind_reason,
        "login": None if known is None else known.login,
        "realm": account.realm,
        "sid": account.sid if known is None else known.sid,
        "guid": None if known is None else known.guid,
        "groups_in_ticket": len(account.group_sids),
        **facts,
        "may_enroll": refused is None,
        "refusal": None if refused is None else refusal_document(refused, reference_id),
        "reference_id": reference_id,
    }


_LABELS: Final = {
    "login": "Login",
    "kind": "Account",
    "told_by": "Told by",
    "realm": "Realm",
    "sid": "SID",
    "guid": "GUID",
    "groups_in_ticket": "Groups in ticket",
    "connection": "Connection",
    "address": "Your address",
    "reference_id": "Reference",
}


def _rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [(label, str(document[key])) for key, label in _LABELS.items() if document.get(key) is not None]
    if document["refusal"] is not None:
        refusal = document["refusal"]
        rows += [("Code", refusal["code"]), ("Detail", refusal["detail"] or "-")]
    return rows


def _json(document: Mapping[str, Any]) -> Shown:
    return Shown("application/json", json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n")


def _html(
    *,
    name: str,
    ok: bool,
    title: str,
    lead: str,
    rows: Sequence[tuple[str, str]],
    remedy: str = "",
    hints: Sequence[str] = (),
) -> Shown:
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    text = _TEMPLATE.render(
        language="en",
        nonce=nonce,
        org_name=f"IWA web app {name}",
        details_title="Details",
        ok=ok,
        title=title,
        lead=lead,
        remedy=remedy,
        hints=hints,
        rows=rows,
    )
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'; base-uri 'none'"
    return Shown("text/html; charset=utf-8", text.encode(), (("Content-Security-Policy", policy),))
