"""A key file that was refused for its mode is taken over as soon as its mode is right, without a signal."""

from pathlib import Path

from support.gateway_process import gateway_process
from support.site import Site
from support.two_apps import two_apps


def test_a_key_that_was_refused_for_its_mode_counts_once_the_mode_is_right(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with two_apps(site) as configuration, gateway_process(configuration, tmp_path) as gateway:
        key = tmp_path / configuration["tls"]["certificates"][0]["private_key"]
        key.chmod(0o644)
        refused = gateway.wait_for_record(lambda record: record["event"] == "reload_refused")
        assert refused["detail"].endswith(f"run: chmod 600 {key}")
        key.chmod(0o600)
        gateway.wait_for_record(lambda record: record["event"] == "reloaded")
