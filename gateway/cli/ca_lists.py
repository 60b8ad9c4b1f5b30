"""The revocation lists as ``devicetrust ca crl`` shows them, and as files for others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.cli.opened_ca import moment, pem
from gateway.model.issued import AuthorityRecord, PublishedCrl
from gateway.pki.publication import PublishedName
from gateway.services.issuing import certificate_of


def write_lists(
    directory: Path,
    authorities: Sequence[AuthorityRecord],
    lists: list[tuple[AuthorityRecord, PublishedCrl]],
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    everything = b""
    for authority, each in lists:
        _replace_file(directory / f"{crl_name(authority, each)}.crl", each.der)
        everything += x509.load_der_x509_crl(each.der).public_bytes(Encoding.PEM)
    _replace_file(directory / "crls.pem", everything)
    certificates = [certificate_of(each.certificate_der) for each in authorities]
    _replace_file(directory / "authorities.pem", pem(certificates))


def _replace_file(path: Path, content: bytes) -> None:
    """So that who reads it sees the old one or the new one."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


def crl_name(authority: AuthorityRecord, each: PublishedCrl) -> str:
    return PublishedName(authority.kind, authority.generation, each.shard).text


def crl_json(authority: AuthorityRecord, each: PublishedCrl) -> dict[str, Any]:
    return {
        "name": f"{crl_name(authority, each)}.crl",
        "authorityId": authority.id,
        "shard": each.shard,
        "number": each.number,
        "thisUpdate": moment(each.this_update),
        "nextUpdate": moment(each.next_update),
        "bytes": len(each.der),
    }
