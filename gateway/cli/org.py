"""What the supervisor starts beside the workers: ``python -m gateway.cli.org DESCRIPTOR``. Not for people."""

import sys

import uvloop

from gateway.adapters.allocator import limit_arenas
from gateway.cli.loading import org_loader_for
from gateway.server.org.service import OrgService
from gateway.server.org_process import run_org

if __name__ == "__main__":
    limit_arenas()
    run_org(int(sys.argv[1]), org_loader_for, OrgService, uvloop.run)
