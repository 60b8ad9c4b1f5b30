"""A person opens the page of the IWA web app in a real Chromium, with tickets and managed policies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.chromium import chromium, missing_parts
from support.iwa_process import IwaProcess
from support.kerberos import Forests
from support.kerberos import missing_parts as missing_kerberos
from support.needed_parts import needs
from support.pki import Authority

pytestmark = [
    pytest.mark.real,
    needs("Chromium", missing_parts),
    needs("Kerberos", missing_kerberos),
]
ROOT = Authority.create_root("Corp TLS Root")
ALLOWED = {"AuthServerAllowlist": "localhost"}


def page_text(iwa: IwaProcess, policies: Mapping[str, Any], cache: str | None) -> tuple[int, str]:
    """Status and text of the page."""
    environment = iwa.forests.environment(cache)
    with chromium(trusted_root_pem=ROOT.pem, policies=policies, environment=environment) as browser:
        page = browser.new_page()
        answer = page.goto(f"{iwa.url}/")
        assert answer is not None
        return answer.status, page.inner_text("main")


def test_the_page_says_who_one_is(kerberos: Forests, tmp_path: Path) -> None:
    """Over TLS, with bindings required of agents: Chromium for Linux sends none."""
    with IwaProcess.running(kerberos, tmp_path, https=ROOT.issue_server(["localhost"])) as iwa:
        status, text = page_text(iwa, ALLOWED, kerberos.corp.log_in("alice"))
        assert status == 200
        assert "You are alice@CORP.EXAMPLE.TEST" in text
        assert "this person may enroll" in text
        assert "HTTPS, not named in the ticket" in text


def test_without_the_policy_or_a_ticket_it_says_what_is_missing(kerberos: Forests, tmp_path: Path) -> None:
    with IwaProcess.running(kerberos, tmp_path) as iwa:
        status, text = page_text(iwa, {}, kerberos.corp.log_in("alice"))
        assert status == 401
        assert "Your browser sent no Kerberos ticket" in text
        assert "AuthServerAllowlist" in text
        assert page_text(iwa, ALLOWED, None)[0] == 401
