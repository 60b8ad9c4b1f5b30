"""What the last soak found, as the last section of ``results/README.md``."""

import json
from pathlib import Path
from typing import Any, Final

SOAK_FILE: Final = "soak.json"
_HEADING: Final = "\n## Soak (`soak.py`)\n\n"


def add_section(directory: Path) -> None:
    """Write the section anew from soak.json; where there is none, README.md stays as it is."""
    file, readme = directory / SOAK_FILE, directory / "README.md"
    if file.exists():
        text = readme.read_text() if readme.exists() else ""
        readme.write_text(text.partition(_HEADING)[0] + _HEADING + section(json.loads(file.read_text())))


def section(result: dict[str, Any]) -> str:
    right = result["right_answers"]
    signed_on = sum(number for kind, number in right.items() if kind.startswith("sign-on"))
    ends = result["sockets_closed_after_revocation_ms"]
    memory = [sample["memory_bytes"] / 2**20 for sample in result["samples"]]
    outcome = "passed" if result["passed"] else "failed: " + "; ".join(result["findings"])
    lines = [
        f"{result['minutes']:g} minutes of mixed load with reloads and revocations, "
        f"{result['machine']['date']}, {result['workers']} worker(s): **{outcome}**.",
        "",
        f"- {sum(right.values()):,} answers were right, {sum(result['wrong_answers'].values())} wrong; among "
        f"them {signed_on:,} sign-ons, {right.get('revoked, sign-on', 0)} of devices revoked meanwhile; "
        f"{right.get('reload', 0)} reloads, {right.get('reload with a mistake', 0)} refused",
        f"- memory of all processes {min(memory):.0f} to {max(memory):.0f} MiB, "
        f"{result['memory_growth_bytes'] / 2**20:+.1f} MiB from the second quarter to the last; "
        f"{result['descriptors_left']} more files open at the end than before",
    ]
    if ends["median"] is not None:
        lines.append(
            f"- from a changed CRL file to the end of the device's WebSockets: {ends['median']:.0f} ms "
            f"(median; p99 {ends['p99']:.0f} ms)"
        )
    return "\n".join(lines) + "\n"
