"""The names under which an authority's lists and certificates are published, and the URLs in certificates.

The base of these URLs is fixed when an authority is made: its own certificate says it, in the address of the
CRL above it. So a shard is named the same by all the certificates in it, also after the organization's host
or scheme changed in the configuration; a new authority (roll-over) takes the new one.
"""

import re
from dataclasses import dataclass

from gateway.model.issued import AuthorityKind
from gateway.pki.certificate import Certificate
from gateway.pki.issuance import Publication

_MAX_NUMBER_DIGITS = 6
_PREFIXES = {AuthorityKind.ISSUING: "mtls", AuthorityKind.ROOT: "root"}
_KINDS = {prefix: kind for kind, prefix in _PREFIXES.items()}
_NAME = re.compile(
    rf"(?P<prefix>mtls|root)-(?P<generation>[1-9][0-9]{{0,{_MAX_NUMBER_DIGITS - 1}}})"
    rf"(?:-(?P<shard>0|[1-9][0-9]{{0,{_MAX_NUMBER_DIGITS - 1}}}))?"
)


@dataclass(frozen=True, slots=True)
class PublishedName:
    """``shard`` is None in the name of a certificate."""

    kind: AuthorityKind
    generation: int
    shard: int | None = None

    @property
    def text(self) -> str:
        shard = "" if self.shard is None else f"-{self.shard}"
        return f"{_PREFIXES[self.kind]}-{self.generation}{shard}"


def read_name(text: str) -> PublishedName | None:
    """Of ``mtls-1-0``, ``root-1-0`` (lists) or ``mtls-1`` (certificates); None for any other text."""
    found = _NAME.fullmatch(text) if text.isascii() else None
    if found is None:
        return None
    shard = found["shard"]
    return PublishedName(
        _KINDS[found["prefix"]], int(found["generation"]), None if shard is None else int(shard)
    )


def base_of(issuing: Certificate) -> str | None:
    """The base of the URLs in what this authority issues; None where its certificate names no CRL."""
    for url in sorted(issuing.extensions.crl_distribution_points):
        base, found, _ = url.rpartition("/crl/")
        if found:
            return base
    return None


def crl_url(base: str, name: PublishedName) -> str:
    return f"{base}/crl/{name.text}.crl"


def issuing_publication(base: str, root_generation: int) -> Publication:
    """For the certificate of an issuing authority: its root's list and certificate. Roots sign no OCSP."""
    root = PublishedName(AuthorityKind.ROOT, root_generation)
    return Publication(
        crls=(crl_url(base, PublishedName(AuthorityKind.ROOT, root_generation, 0)),),
        issuers=(f"{base}/ca/{root.text}.cer",),
    )


def device_publication(issuing: Certificate, generation: int, shard: int) -> Publication:
    """For a certificate in one shard of this authority."""
    base = base_of(issuing)
    if base is None:
        return Publication()
    name = PublishedName(AuthorityKind.ISSUING, generation)
    return Publication(
        crls=shard_urls(issuing, generation, shard),
        issuers=(f"{base}/ca/{name.text}.cer",),
        ocsp=(f"{base}/ocsp",),
    )


def shard_urls(issuing: Certificate, generation: int, shard: int) -> tuple[str, ...]:
    """What the CRL of a shard names as its distribution point."""
    base = base_of(issuing)
    return () if base is None else (crl_url(base, PublishedName(AuthorityKind.ISSUING, generation, shard)),)
