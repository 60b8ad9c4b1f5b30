"""What the supervisor starts for each worker: ``python -m gateway.cli.worker DESCRIPTOR``. Not for people."""

import sys
from datetime import datetime

import uvloop

from gateway.adapters.plugins import load_condition_parsers
from gateway.config.material import load_material
from gateway.server.configuration import LoadMaterial
from gateway.server.worker_process import run_worker
from gateway.services.material import Material


def loader_for(config_path: str) -> LoadMaterial:
    """Reads a configuration, with the conditions of all plug-ins."""
    parsers = load_condition_parsers()

    def load(now: datetime) -> Material:
        return load_material(config_path, parsers, now)

    return load


if __name__ == "__main__":
    run_worker(int(sys.argv[1]), loader_for, uvloop.run)
