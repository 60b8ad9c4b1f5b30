"""What use cases and the memory that they claim keys in have to agree on."""


class OneUseKeysFull(Exception):
    """No room for one more key; the sign-on must be refused."""
