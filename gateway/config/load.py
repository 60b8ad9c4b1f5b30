"""gateway.yaml → GatewaySettings, or every error in it at once, each with file, line and key."""

from pathlib import Path

from gateway.config.assemble import assemble
from gateway.config.consistency import inconsistencies
from gateway.config.errors import ConfigError
from gateway.config.marked_yaml import MarkedDocument, load_marked
from gateway.config.schema import GatewayFile
from gateway.config.text_file import read_text_file
from gateway.config.validation import ConfigErrors as ConfigErrors
from gateway.config.validation import in_order, validated
from gateway.model.settings import GatewaySettings


def load_settings(path: str) -> GatewaySettings:
    """Read and check a configuration file. Relative paths in it refer to its directory.

    Raises ConfigErrors, nothing else: first all that is wrong with single values, and when there is
    nothing, all that the values contradict. Opens no other file: certificates, CRLs, metadata and
    policies are read by those who use them.
    """
    try:
        document = load_marked(read_text_file(path), path)
    except ConfigError as error:
        raise ConfigErrors([error]) from error
    # Not resolved: beside a symbolic link stand the links to the other files (as in mounted volumes).
    return settings_from(document, str(Path(path).absolute()))


def settings_from(document: MarkedDocument, source: str) -> GatewaySettings:
    """Settings out of a document that has been read. Raises ConfigErrors."""
    file = validated(GatewayFile, document)
    contradictions = list(inconsistencies(file))
    if contradictions:
        raise ConfigErrors(in_order(document, contradictions))
    return assemble(file, source)
