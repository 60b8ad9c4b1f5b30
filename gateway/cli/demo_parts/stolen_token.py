"""A thief with a user token that was made for another key: what the org answers. Run in the surroundings of
somebody's agent, whose tickets get the token; says the code as the agent would.

    python -m gateway.cli.demo_parts.stolen_token
"""

import os
import sys

from cryptography.hazmat.primitives.asymmetric import ec

from gateway import __version__
from gateway.agent.assembly import connections, means_of
from gateway.agent.iwa_client import Asked
from gateway.agent.org_client import CertificateWanted
from gateway.agent.refusal import Refused
from gateway.agent.settings import settings_of
from gateway.agent.this_computer import this_platform
from gateway.agent.trace import NoTrace
from gateway.cli.demo_parts.pki import client_request
from gateway.enrollment.thumbprints import key_thumbprint


def main() -> int:
    try:
        _present_stolen_token()
    except Refused as error:
        print(f"devicetrust-agent: refused: {error}", file=sys.stderr)
        return 1
    print("a certificate was issued for the thief's key")
    return 0


def _present_stolen_token() -> None:
    """Raises Refused, as it should."""
    platform = this_platform()
    settings = settings_of(platform.settings())
    victims_key, thiefs_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    with connections(settings, platform.data_directory, os.environ, NoTrace()) as lines:
        means = means_of(settings, lines, platform.name, NoTrace(), print)
        discovery = means.org.discovery()
        iwa = discovery.iwas[0]
        asked = Asked(discovery.nonce, key_thumbprint(victims_key.public_key()))
        device_token = means.device_token(iwa, asked)
        user_token = means.iwa(iwa.url).user_token(asked, device_token, means.person())
        wanted = CertificateWanted(client_request(thiefs_key), None, platform.name, __version__)
        means.org.certificate(user_token, wanted)


if __name__ == "__main__":
    sys.exit(main())
