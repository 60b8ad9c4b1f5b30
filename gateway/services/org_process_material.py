"""A configuration as the org process needs it: with the documents that administrators edit."""

from dataclasses import dataclass

from gateway.services.material import Material
from gateway.services.org_configuration import OrgConfiguration


@dataclass(frozen=True, slots=True)
class OrgMaterial(Material):
    organization: OrgConfiguration
