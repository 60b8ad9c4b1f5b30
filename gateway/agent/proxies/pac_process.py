"""A proxy auto-configuration file is a stranger's program: it is run in a process of its own, which is killed
when it takes too long."""

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Final

from gateway.agent.proxies.routes import ProxyRefused

# With name look-ups, which may each take some seconds.
MAX_SECONDS: Final = 10.0
MODULE: Final = "gateway.agent.proxies.pac_child"


def find_proxy_apart(script: str, url: str, *, max_seconds: float = MAX_SECONDS) -> str:
    """What FindProxyForURL answers for this URL. Takes some 0.1 s. Raises ProxyRefused."""
    if find_spec("quickjs") is None:
        raise ProxyRefused(
            "HttpProxyPacLocation needs the Python package quickjs, which is not installed; "
            "install it, or name the proxy itself in HttpProxy"
        )
    try:
        child = subprocess.run(  # noqa: S603 - our own module; the script goes to its input
            [sys.executable, "-I", "-m", MODULE],
            input=json.dumps({"script": script, "url": url}),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=max_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProxyRefused(f"the proxy auto-configuration file takes longer than {max_seconds:g} s") from None
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        raise ProxyRefused(
            "the proxy auto-configuration file needs more time or memory than it may have"
        ) from None
    if "refused" in answer:
        raise ProxyRefused(str(answer["refused"]))
    return str(answer["result"])
