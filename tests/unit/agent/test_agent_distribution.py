"""The agent's own wheel: built, installed with what it asks for and nothing else, and run."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[3]
# What it names itself, and what these need in turn.
ALLOWED = {"OpenSSL", "click", "cryptography", "httpx", "jwt", "typing_extensions"}
ALLOWED |= {
    "_cffi_backend",
    "_openssl",
    "cffi",
    "pycparser",
    "anyio",
    "certifi",
    "h11",
    "httpcore",
    "idna",
    "sniffio",
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what `pip install devicetrust-agent` puts into an empty environment, as the tests'
    environment has it: pip would fetch it."""
    directory = tmp_path_factory.mktemp("alone")
    built = subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--no-build-isolation", "--wheel-dir", directory, PROJECT / "gateway/agent/distribution",
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    [wheel] = directory.glob("devicetrust_agent-*.whl")
    site = directory / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    [metadata] = site.glob("*.dist-info/METADATA")
    for each in _needed(message_from_bytes(metadata.read_bytes()).get_all("Requires-Dist") or []):
        for name in {Path(file).parts[0] for file in each.files or []} - {"..", "__pycache__"}:
            (site / name).symlink_to(Path(str(each.locate_file(name))).resolve())
    return site


def _needed(requirements: Iterable[str]) -> list[Distribution]:
    """Them and what they need in turn, without extras."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        found[name] = distribution(name)
        waiting += [Requirement(each) for each in found[name].requires or []]
    return list(found.values())


def run(site: Path, *arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Python without site-packages, and with that directory alone."""
    program = f"import sys; sys.path.append({str(site)!r})\n" + (
        code or "from gateway.agent.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(site.parent / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_runs(alone: Path) -> None:
    (alone.parent / "home").mkdir(exist_ok=True)
    assert "devicetrust-agent" in run(alone, "--help").stdout
    status = run(alone, "status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["certificate"] is None
    for verb in ("install", "uninstall", "verify", "doctor"):
        assert "Examples:" in run(alone, verb, "--help").stdout


IMPORT_ALL = """
import importlib, json, pkgutil
import gateway
failed = {}
for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        failed[module.name] = error.name
loaded = sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names))
print(json.dumps({"loaded": loaded, "failed": failed}))
"""


def test_every_module_can_be_imported_without_anything_else(alone: Path) -> None:
    """Optional parts are imported when they are used."""
    done = run(alone, code=IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["failed"] == {}
    assert set(told["loaded"]) - {"__main__", "gateway"} <= ALLOWED


def test_what_is_not_installed_is_said_with_how_to_install_it(alone: Path) -> None:
    code = """
from gateway.agent.negotiate import as_person
from gateway.agent.refusal import Refused
try:
    as_person()
except Refused as error:
    print(error.refusal.code, error.refusal.remedy)
"""
    said = run(alone, code=code)
    assert said.stdout.startswith("NO_KERBEROS Install it: pip install 'devicetrust-agent[kerberos]'")


def test_the_rest_of_the_gateway_does_not_come_along(alone: Path) -> None:
    assert {path.name for path in (alone / "gateway").iterdir() if path.is_dir()} <= {
        "__pycache__",
        "agent",
        "enrollment",
        "model",
        "pki",
    }
