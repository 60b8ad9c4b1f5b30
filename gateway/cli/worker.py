"""What the supervisor starts for each worker: ``python -m gateway.cli.worker DESCRIPTOR``. Not for people."""

import sys

import uvloop

from gateway.adapters.allocator import limit_arenas
from gateway.cli.loading import loader_for
from gateway.server.worker_process import run_worker

if __name__ == "__main__":
    limit_arenas()
    run_worker(int(sys.argv[1]), loader_for, uvloop.run)
