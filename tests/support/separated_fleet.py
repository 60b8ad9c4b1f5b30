"""Two gateways and a PostgreSQL on machines of their own (`support.network_namespaces`), and people whose
balancer reaches both gateways on their front links."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.fleet import Gateway, TwoGateways, make_authority, prepared, ready, share_keys
from support.gateway_process import GatewayProcess
from support.network_namespaces import FRONT, STORE, Network, network
from support.postgres import PostgresCluster
from support.processes import free_port


@dataclass(kw_only=True)
class SeparatedFleet(TwoGateways):
    network: Network


@contextmanager
def separated_fleet(directory: Path) -> Iterator[SeparatedFleet]:
    """The calling thread is with the people."""
    with ExitStack() as stack:
        net = stack.enter_context(network())
        with net.postgres.entered():
            postgres = stack.enter_context(PostgresCluster.running(free_port(), address=STORE["postgres"]))
        stack.enter_context(net.people.entered())
        site, configuration, balancer, token = stack.enter_context(
            prepared(directory, postgres, FRONT["people"])
        )
        configuration["store"] = postgres.url("org", tcp=True)
        shutil.copytree(directory / "one", directory / "two")
        gateways = []
        for name, machine in (("one", net.one), ("two", net.two)):
            configuration["fleet"] = {"name": name, "without_store": "local", "claim_timeout": "1s"}
            configuration["listen"]["workers"] = 1 if name == "one" else 2
            configuration["listen"]["https"] = [f"{FRONT[name]}:{site.https_port}"]
            with machine.entered():
                if name == "one":
                    make_authority(directory / name, configuration)
                else:
                    share_keys(directory, configuration)
                process = GatewayProcess(configuration, directory / name, name=name)
            stack.callback(process.kill)
            gateways.append(Gateway(name, process, (), token, FRONT[name], machine.entered))
        one, two = gateways
        for gateway in gateways:  # both end at once
            stack.callback(gateway.process.terminate)
        with ready(one, two):
            yield SeparatedFleet(
                site=site, primary=postgres, balancer=balancer, one=one, two=two, network=net
            )
