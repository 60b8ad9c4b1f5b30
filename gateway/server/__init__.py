"""The asyncio shells: listeners, TLS transport, forwarder, pages, metrics."""
