"""How a value that came from outside is shown in a message."""


def printable(text: str, limit: int = 60) -> str:
    """The text in double quotes, shortened to ``limit`` characters, control and invisible characters
    escaped: messages end up on terminals and in logs, and must not carry escape sequences there."""
    shortened = text if len(text) <= limit else text[:limit] + "…"
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shortened)
    return '"' + escaped.replace('"', '\\"') + '"'
