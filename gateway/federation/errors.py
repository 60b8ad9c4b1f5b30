"""The two refusals of this room: a message that must not go on, and metadata that cannot be used."""

from gateway.model.reasons import MessageReason

MAX_DETAIL_CHARS = 300  # details end up in a log line; what a peer wrote must not flood it


class MessageRejected(Exception):
    """A federation message that is malformed, forged, stale or not meant for this app.

    ``reason`` is the name that page, header, log and metric show; ``detail`` is one short sentence for
    the log. It may quote a piece of the message, escaped and cut.
    """

    def __init__(self, reason: MessageReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail[:MAX_DETAIL_CHARS]
        super().__init__(f"{reason}: {self.detail}")


class MetadataRejected(Exception):
    """Metadata of an identity provider that cannot be used. ``detail`` says why and what to do."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def malformed(detail: str) -> MessageRejected:
    return MessageRejected(MessageReason.MALFORMED, detail)
