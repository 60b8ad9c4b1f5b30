"""PAC buffers that Samba made (tests/vectors/pac)."""

import json
from pathlib import Path
from typing import Any, Final

_ALL: Final[dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "pac" / "buffers.json").read_text()
)

RECORDED: Final = {name: bytes.fromhex(octets) for name, octets in _ALL["recorded"].items()}
PACKED: Final = {name: bytes.fromhex(octets) for name, octets in _ALL["packed"].items()}
# The domain of the recorded ones.
DOMAIN_SID: Final = "S-1-5-21-3081746402-50251974-2685399927"
