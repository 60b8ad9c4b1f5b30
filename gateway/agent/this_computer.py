"""Which platform this is."""

import sys
from importlib import import_module

from gateway.agent.platform import Platform, PlatformFailed


def this_platform() -> Platform:
    name = {"linux": "linux", "win32": "windows", "darwin": "macos"}.get(sys.platform)
    if name is None:
        raise PlatformFailed(f"the agent does not run on {sys.platform}")
    platform: Platform = import_module(f"gateway.agent.platforms.{name}").this_platform()
    return platform
