"""The IWA web apps as the org knows them, and as they answer themselves."""

import json
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from typing_extensions import override

from gateway import __version__
from gateway.cli.checks.finding import when
from gateway.model.checkup import Check, CheckGroup, Subject
from gateway.model.iwa import Iwa
from gateway.services.iwas import in_order

REGISTERED: Final = Subject(CheckGroup.IWA, "registered IWA web apps")
PRIMARY: Final = Subject(CheckGroup.IWA, "primary")
# Between the IWA web app and the org: the two that their tokens allow, less a margin (`claims.ALLOWED_SKEW`).
MAX_SKEW: Final = timedelta(seconds=90)
_SECONDS: Final = 5.0
_MAX_BYTES: Final = 65_536
_NONE_HELPS: Final = "run in the company network: devicetrust iwa register -c iwa.yaml --token-file FILE"


@dataclass(frozen=True, slots=True)
class AboutSeen:
    """What an IWA web app said of itself; ``trouble`` why it said nothing. ``skew``: how far its clock is
    ahead of ours, to the second or so."""

    key_id: str | None = None
    version: str | None = None
    skew: timedelta | None = None
    trouble: str = ""


def judge_registered(iwas: Sequence[Iwa]) -> Iterator[Check]:
    """Disabled ones are named only where none is enabled. An organization may do without."""
    if not iwas:
        yield REGISTERED.warning("none, so no computer of a domain enrolls by itself", _NONE_HELPS)
        return
    enabled = in_order(iwas)
    if not enabled:
        names = ", ".join(each.name for each in iwas)
        yield REGISTERED.failed(
            f"none is enabled ({names})",
            f"run: devicetrust iwa enable {iwas[0].name}, and see why it was not",
        )
        return
    yield REGISTERED.ok(f"{len(enabled)} of {len(iwas)} enabled")
    first = next((each for each in enabled if each.is_primary), None)
    if first is None:
        yield PRIMARY.warning(
            "none of the enabled ones is", f"run: devicetrust iwa promote {enabled[0].name}"
        )
    else:
        yield PRIMARY.ok(first.name)
    for each in enabled:
        yield judge_standing(each)


def judge_standing(iwa: Iwa) -> Check:
    subject = Subject(CheckGroup.IWA, f"{iwa.name} reports to the org")
    if not iwa.online:
        seen = "never" if iwa.last_seen is None else f"silent since {when(iwa.last_seen)}"
        return subject.failed(
            seen, "see that it runs and reaches the org; there: devicetrust doctor --iwa iwa.yaml"
        )
    if iwa.version and iwa.version != __version__:
        return subject.warning(
            f"online, version {iwa.version}; the gateway has {__version__}", "install the same version there"
        )
    return subject.ok(f"online, version {iwa.version or 'unknown'}")


def judge_about(iwa: Iwa, about: AboutSeen) -> Check:
    """That it cannot be reached from here need not be wrong: it is for the company network."""
    subject = Subject(CheckGroup.IWA, f"{iwa.name} answers at {iwa.url}")
    if about.trouble:
        return subject.skipped(
            f"not reached from here: {about.trouble}",
            "right where the org is outside of the company network; computers have to reach it",
        )
    if about.key_id != iwa.key_id:
        return subject.failed(
            f"with another key ({about.key_id}) than it is registered with ({iwa.key_id})",
            "register it anew: devicetrust iwa register -c iwa.yaml --token-file FILE; or correct its url",
        )
    if about.skew is not None and abs(about.skew) > MAX_SKEW:
        return subject.failed(
            f"its clock is {shown_skew(about.skew)} that of this machine",
            "let both machines follow a time server (NTP)",
        )
    return subject.ok(f"version {about.version}, its clock within {MAX_SKEW.total_seconds():.0f} s of ours")


def ask_about(url: str, ca_file: str | None = None) -> AboutSeen:
    """`GET …/about`, without a proxy: it is a neighbour. Its certificate is not judged here, since agents
    judge it by authorities of their own; ``ca_file`` is used where one is given."""
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context), _NoRedirects())
    try:
        with opener.open(Request(f"{url}/about"), timeout=_SECONDS) as response:  # noqa: S310 - of the store
            said = json.loads(response.read(_MAX_BYTES))
    except HTTPError as error:
        error.close()
        return AboutSeen(trouble=f"it answers {error.code}")
    except URLError as error:
        return AboutSeen(trouble=str(getattr(error.reason, "strerror", None) or error.reason))
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        return AboutSeen(trouble=str(error) or type(error).__name__)
    if not isinstance(said, dict):
        return AboutSeen(trouble="it does not answer as an IWA web app")
    return AboutSeen(_text(said, "key_id"), _text(said, "version"), _skew(said.get("time")))


def shown_skew(skew: timedelta) -> str:
    """As in "its clock is … that of this machine"."""
    seconds = abs(skew.total_seconds())
    return f"{seconds:.0f} s {'ahead of' if skew > timedelta(0) else 'behind'}"


def _text(said: dict[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value[:256] if isinstance(value, str) else None


def _skew(said: object) -> timedelta | None:
    try:
        at = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return None if at is None or at.tzinfo is None else at - datetime.now(UTC)


class _NoRedirects(HTTPRedirectHandler):
    @override
    def redirect_request(self, *_unused: Any) -> None:
        return None
