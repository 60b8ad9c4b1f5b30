"""AutoSelectCertificateForUrls: the policy of Chrome, Chromium and Edge by which they pick a certificate
without asking (chromeenterprise.google/policies/#AutoSelectCertificateForUrls).

It is a list of *texts*, each of which is JSON. Objects in their place crash the browser.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.agent.platform import HTTPS_PORT, BrowserPolicy

POLICY_NAME: Final = "AutoSelectCertificateForUrls"
# A policy file is at most some dozen KB.
MAX_POLICY_BYTES: Final = 1_048_576


class PolicyFileRefused(Exception):
    """A policy file of somebody else that cannot be read as one, and hence not be added to."""


def url_pattern(policy: BrowserPolicy) -> str:
    """Every host below the mTLS domain. The default port is left out, as it is in the browsers' own form."""
    port = "" if policy.port == HTTPS_PORT else f":{policy.port}"
    return f"https://[*.]{policy.mtls_domain}{port}"


def auto_select_item(policy: BrowserPolicy) -> str:
    item = {"pattern": url_pattern(policy), "filter": {"ISSUER": {"CN": policy.issuer_common_name}}}
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False)


def managed_policy(policy: BrowserPolicy, others: Iterable[str] = ()) -> str:
    """The file for `policies/managed`. Of two files that set this list, browsers read one only: ``others``
    are the items of all other files, which must not be lost because of ours."""
    own = auto_select_item(policy)
    items = [own, *(item for item in dict.fromkeys(others) if item != own)]
    return json.dumps({POLICY_NAME: items}, indent=2, ensure_ascii=False) + "\n"


def items_of(place: str, content: str) -> tuple[str, ...]:
    """The list in somebody's policy file; () where it sets none. Raises PolicyFileRefused for what is no
    policy file: a browser ignores it, too."""
    items = _object(place, content).get(POLICY_NAME, [])
    return tuple(item for item in items if isinstance(item, str)) if isinstance(items, list) else ()


def _object(place: str, content: str) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PolicyFileRefused(f"{place}: is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise PolicyFileRefused(f"{place}: is no JSON object")
    return value
