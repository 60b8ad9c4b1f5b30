"""How the agent gets out: `HttpProxy`, `HttpProxyPacLocation`, the environment, or directly.

`transport.ProxiedTransport` is what an HTTP client is given; `chooser` decides by URL; `pac_*` is the proxy
auto-configuration file, whose script is a stranger's program and runs in a process of its own.
"""
