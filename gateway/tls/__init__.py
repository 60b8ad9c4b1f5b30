"""TLS without sockets: ClientHello, contexts per host role, bytes in and bytes or events out."""
