"""Texts that are compared with files in the tree. `UPDATE_GOLDEN=1` writes the files instead; then they are
read before they are committed."""

import os
from pathlib import Path


def assert_golden(file: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
    with file.open(encoding="utf-8", newline="") as opened:
        assert text == opened.read(), f"{file.name} differs; UPDATE_GOLDEN=1 writes it anew"
