"""The browsers of a computer, for all who use it: what `devicetrust-agent install` does as administrator."""

import os
from collections.abc import Sequence

from gateway.agent.assembly import connections
from gateway.agent.org_client import OrgClient
from gateway.agent.platform import BrowserPolicy, Change, Platform
from gateway.agent.settings import settings_of
from gateway.agent.trace import NoTrace


def set_up_browsers_for_all(platform: Platform) -> Sequence[Change]:
    """For the domain and the issuer that the org tells; () where SkipBrowserSetup is set. A person's own run
    cannot do it: policies are the administrator's. Raises SettingsRefused, Refused, PlatformFailed."""
    settings = settings_of(platform.settings())
    if settings.skip_browser_setup:
        return ()
    with connections(settings, platform.data_directory, os.environ, NoTrace()) as lines:
        told = OrgClient(lines.outside, settings.org_url).discovery()
    policy = BrowserPolicy(told.mtls_domain, told.issuer_common_name, told.mtls_port)
    return platform.set_up_browsers(policy)
