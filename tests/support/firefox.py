"""A real Firefox ESR that visits one page, with a profile and policies of its own.

What it shows cannot be read without a driver: the server that it visits has to tell.
"""

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from support.chromium import UNSHARE_OPTIONS
from support.processes import program

SECONDS = 60.0
# Layers ``$1`` over /etc, for this process alone.
_WITH_ETC = 'mount -t overlay overlay -o "lowerdir=$1:/etc" /etc && shift && exec "$@"'
_QUIET = {
    "app.update.enabled": "false",
    "browser.aboutConfig.showWarning": "false",
    "browser.shell.checkDefaultBrowser": "false",
    "datareporting.policy.dataSubmissionEnabled": "false",
    "network.captive-portal-service.enabled": "false",
    "network.connectivity-service.enabled": "false",
    "network.proxy.type": "0",
}


def missing_parts() -> list[str]:
    missing = [name for name in ("firefox-esr", "certutil", "unshare") if program(name) is None]
    if "unshare" not in missing:
        options = UNSHARE_OPTIONS.split()
        layered = ["unshare", *options, "sh", "-c", _WITH_ETC, "sh", "/usr/share", "true"]
        if subprocess.run(layered, capture_output=True, check=False).returncode != 0:
            missing.append("a private layer over /etc (refused here)")
    return missing


def make_profile(home: Path, host: str) -> Path:
    """As Firefox makes one at its first start; ``host`` is 127.0.0.1 for it."""
    root = home / ".mozilla/firefox"
    profile = root / "tests.default-esr"
    profile.mkdir(parents=True)
    (root / "profiles.ini").write_text("[Profile0]\nName=default-esr\nIsRelative=1\nPath=tests.default-esr\n")
    lines = [f'user_pref("{name}", {value});' for name, value in _QUIET.items()]
    lines.append(f'user_pref("network.dns.localDomains", "{host}");')
    (profile / "user.js").write_text("\n".join(lines) + "\n")
    return profile


def visit(home: Path, profile: Path, url: str, etc: Path | None = None, seconds: float = SECONDS) -> bool:
    """Whether the page was painted within that time: a Firefox that asks for a certificate waits for ever.
    ``etc`` is layered over /etc."""
    shot = profile / f"{urlsplit(url).hostname}.png"
    firefox = ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile)]
    command = [*firefox, "--screenshot", str(shot), url]
    if etc is not None:
        command = ["unshare", *UNSHARE_OPTIONS.split(), "sh", "-c", _WITH_ETC, "sh", str(etc), *command]
    environment = {**os.environ, "HOME": str(home), "MOZ_DISABLE_CONTENT_SANDBOX": "1"}
    try:
        subprocess.run(
            ["timeout", "--kill-after=5", str(seconds), *command],
            env=environment,
            capture_output=True,
            timeout=seconds + 15,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return shot.exists()
