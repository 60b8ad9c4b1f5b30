"""`devicetrust doctor --iwa` at the machine of an IWA web app, with tickets of real KDCs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.iwa_process import IwaProcess
from support.kerberos import CORP, PARTNER, Forests, missing_parts, run_at
from support.needed_parts import needs, needs_program
from support.processes import free_port

pytestmark = [pytest.mark.real, needs("Kerberos", missing_parts)]

DOCTOR = str(Path(sys.executable).parent / "devicetrust")
SERVICE = "HTTP/localhost"


@pytest.fixture
def forests() -> Iterator[Forests]:
    """Of the test's own: keys of services are changed here."""
    with Forests.running() as forests, forests.entered():
        yield forests


def own_iwa(forests: Forests, place: Path, **changes: Any) -> IwaProcess:
    place.mkdir()
    keytab = place / "iwa.keytab"
    shutil.copyfile(forests.iwa_keytab, keytab)
    keytab.chmod(0o600)
    iwa = IwaProcess(
        forests,
        place,
        org_url=f"https://localhost:{free_port()}",  # nobody is there
        changes={"kerberos": {"keytab": str(keytab)}, **changes},
    )
    iwa.pretend_registered()
    return iwa


def seen(
    iwa: IwaProcess, cache: str | None = None, *, clock: str | None = None
) -> dict[str, tuple[str, str]]:
    command = [DOCTOR, "doctor", "--iwa", str(iwa.file), "--json"]
    environment: Mapping[str, str] = {**os.environ, **iwa.forests.environment(cache)}
    done = subprocess.run(
        command if clock is None else run_at(clock, command),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return {each["name"]: (each["state"], each["seen"]) for each in json.loads(done.stdout)["checks"]}


def test_a_fresh_keytab_opens_the_ticket_that_the_kdc_gives_and_a_stale_one_does_not(
    forests: Forests, tmp_path: Path
) -> None:
    iwa = own_iwa(forests, tmp_path / "iwa")
    # Nobody is logged on: MIT krb5 lets the service itself ask.
    found = seen(iwa)
    assert found["keytab"][0] == "ok"
    assert found["service principal in the keytab"] == ("ok", f"{SERVICE}@{CORP}, newest key number 2")
    state, ticket = found["ticket for the service"]
    assert (state, ticket.startswith(f"{SERVICE}@{CORP} for HTTP/")) == ("ok", True)
    assert found["newest key of the service in the keytab"] == (
        "ok",
        "key number 2, aes256-cts-hmac-sha1-96",
    )
    assert found["ticket is accepted by the keytab"] == ("ok", "yes")
    assert found["registration with the org"][0] == "ok"
    assert found["it answers at its url"][0] == "failed"  # nobody has started it
    assert found["HTTPS certificate"][0] == "warning"
    assert found["org is reached"][0] == "failed"
    assert found["replay cache"][0] == "ok"
    assert found[f"KDC of {CORP}"] == ("ok", "answers")

    forests.corp.service_keytab(SERVICE, new=False)  # a second ktadd: new keys, and not in this keytab
    found = seen(iwa, forests.corp.log_in("alice"))
    assert found["newest key of the service in the keytab"] == (
        "failed",
        "the KDC uses key number 3, the keytab has 2",
    )
    assert found["ticket is accepted by the keytab"][0] == "failed"


@needs_program("faketime")
def test_a_clock_that_is_wrong_is_why_no_ticket_is_accepted(forests: Forests, tmp_path: Path) -> None:
    iwa = own_iwa(forests, tmp_path / "iwa")
    state, said = seen(iwa, clock="-20m")["ticket is accepted by the keytab"]
    assert (state, said.partition(":")[0]) == ("failed", "CLOCK_SKEW")


def test_a_service_that_the_kdc_does_not_know_is_found_by_the_name_of_the_url(
    forests: Forests, tmp_path: Path
) -> None:
    iwa = own_iwa(forests, tmp_path / "iwa", url="http://web.corp.example.test/iwa")
    found = seen(iwa, forests.corp.log_in("alice"))
    assert found["service principal in the keytab"][0] == "failed"
    assert found["ticket for the service"] == (
        "failed",
        "the KDC does not know HTTP/web.corp.example.test",
    )


def test_a_keytab_that_others_may_read_is_not_used(forests: Forests, tmp_path: Path) -> None:
    iwa = own_iwa(forests, tmp_path / "iwa")
    (tmp_path / "iwa" / "iwa.keytab").chmod(0o644)
    found = seen(iwa)
    assert found["keytab"][0] == "failed"
    assert "ticket for the service" not in found


def test_a_realm_whose_kdc_does_not_answer_is_named_and_so_is_a_directory(
    forests: Forests, tmp_path: Path
) -> None:
    realms = [{"realm": CORP, "login": "{name}@example.test"}, {"realm": PARTNER, "login": "principal"}]
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("secret")
    directory = {
        "realm": CORP,
        "urls": [f"ldaps://127.0.0.1:{free_port()}"],
        "base": "DC=corp,DC=example,DC=test",
        "bind": {"user": "iwa", "password_file": str(password)},
    }
    iwa = own_iwa(forests, tmp_path / "iwa", realms=realms, directory=[directory])
    forests.partner.stop()
    found = seen(iwa)
    assert found[f"KDC of {CORP}"] == ("ok", "answers")
    assert found[f"KDC of {PARTNER}"] == ("failed", f"Cannot contact any KDC for realm '{PARTNER}'")
    state, said = found[f"directory of {CORP}"]
    assert (state, said.startswith("ldaps://127.0.0.1:")) == ("failed", True)
