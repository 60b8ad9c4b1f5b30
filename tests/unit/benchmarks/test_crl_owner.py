"""The process that measures what a CRL costs, on a small one."""

from pathlib import Path

from support.large_crl import crl_of
from support.pki import Authority

from benchmarks.crl_owner import authority_of, measure


async def test_it_loads_a_crl_replaces_it_and_says_what_both_took(tmp_path: Path) -> None:
    corp = Authority.create_root("Corp CA")
    pem, crl, following = tmp_path / "ca.pem", tmp_path / "a.crl", tmp_path / "b.crl"
    pem.write_bytes(corp.pem)
    crl.write_bytes(crl_of(corp, 100))
    following.write_bytes(crl_of(corp, 5_000))
    values = await measure(authority_of(pem, crl), crl, following)
    assert 5_000 * 20 / 2**20 < values.pop("table_mib") < 5_000 * 21 / 2**20
    assert values.pop("private_mib") < 100
    assert set(values) == {"load_ms", "replace_ms", "stall_ms", "look_up_ns"}
    assert all(value > 0 for value in values.values())
    assert values["stall_ms"] < values["load_ms"] + values["replace_ms"]
