"""Tests that use parts by others: what happens when these are not installed."""

import os
import shutil
from collections.abc import Callable

import pytest


def needs(what: str, missing: Callable[[], list[str]]) -> pytest.MarkDecorator:
    """Skip with a reason where a part is missing on a developer's machine; under CI=true the test runs,
    and fails for want of the part."""
    absent = missing()
    in_ci = os.environ.get("CI") == "true"
    reason = f"{what} not installed (make test installs them): {', '.join(absent)}"
    return pytest.mark.skipif(bool(absent) and not in_ci, reason=reason)


def needs_program(*names: str) -> pytest.MarkDecorator:
    """`needs` for programs that are looked for in PATH."""
    return needs(" or ".join(names), lambda: [name for name in names if shutil.which(name) is None])
