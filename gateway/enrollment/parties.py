"""What the parties of an enrollment are called in tokens."""


def org_audience(org_name: str) -> str:
    """Of user tokens, proofs and reports: the org that they are for."""
    return f"urn:devicetrust:org:{org_name}"


def iwa_issuer(iwa_id: str) -> str:
    """Of device and user tokens; and the audience of device tokens, which are for the IWA web app itself."""
    return f"urn:devicetrust:iwa:{iwa_id}"
