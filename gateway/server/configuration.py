"""One configuration as it was read: what it means, and the content of every file that went into it.

The supervisor reads it from disk; each worker makes the same of the copy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.adapters.held_files import HeldFiles, pack, read_file, recorded
from gateway.adapters.key_files import load_or_create_keys
from gateway.adapters.sealed_memory import SealedMemory
from gateway.server.pages import PageRenderer
from gateway.services.material import Material

# Roots of an upstream. A bundle of all public ones has 0.25 MB.
MAX_ROOTS_BYTES = 4_194_304

# Raises what a configuration can be refused for.
LoadMaterial = Callable[[datetime], Material]


@dataclass(frozen=True, slots=True)
class Configuration:
    """``read_at`` goes with the copy: metadata that was good then must not keep a worker from starting when
    it has ended since. That it has is asked at each sign-on."""

    material: Material
    packed: SealedMemory
    read_at: datetime


class ConfigurationReader:
    """Reads everything from disk. ``load`` raises what a configuration can be refused for."""

    def __init__(self, load: LoadMaterial) -> None:
        self._load = load
        # The files of the keys directory. They are read, or made, once: other keys need a restart.
        self._own_keys: HeldFiles | None = None

    def read(self, now: datetime) -> Configuration:
        """Blocks. Raises what ``load`` raises, KeyFileRefused, PageTemplateRefused and OSError.

        TLS contexts are not made; that a certificate can serve a host is for the workers to say.
        """
        with recorded() as files:
            material = self._load(now)
            settings = material.settings
            PageRenderer(settings.pages_directory, org_name=settings.org_name)
            for path in material.files - files.keys():  # those that are only read when they are needed
                read_file(path, MAX_ROOTS_BYTES)
        if self._own_keys is None:
            with recorded() as own_keys:
                load_or_create_keys(settings.keys_directory)
            self._own_keys = own_keys
        return Configuration(material, pack({**self._own_keys, **files}), now)
