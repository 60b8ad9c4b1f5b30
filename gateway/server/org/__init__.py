"""The org: the control plane's HTTP server and what it answers with."""
