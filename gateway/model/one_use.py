"""What use cases and the memory that they claim keys in have to agree on."""


class OneUseKeysFull(Exception):
    """No room for one more key; the sign-on must be refused."""


class OneUseKeysUnreachable(Exception):
    """Whether the key was used elsewhere cannot be told now, and the fleet is set to refuse then. The key was
    not used up: it may be claimed again later."""
