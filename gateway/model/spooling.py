"""What use cases and the spool of the System Log have to agree on."""


class SystemLogFull(Exception):
    """An event could not be kept: the spool is as large as it may be, or its disk takes no more."""
