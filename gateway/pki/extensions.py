"""The extensions of a certificate that path validation reads, as one frozen value (RFC 5280 §4.2)."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

# Critical extensions that this room acts on. Any other critical one refuses the certificate where it is
# on a path (RFC 5280 §4.2), among them authority and subject key identifiers, authority information
# access and CRL distribution points: RFC 5280 wants them non-critical, and here they are hints only.
_PROCESSED = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
    }
)


@dataclass(frozen=True, slots=True)
class KeyUsage:
    digital_signature: bool
    key_cert_sign: bool
    crl_sign: bool


@dataclass(frozen=True, slots=True)
class PolicyExtensions:
    """What policy processing reads (RFC 5280 §4.2.1.4, .5, .11, .14). None or False: not there."""

    policies: frozenset[str] | None = None
    has_mappings: bool = False
    require_explicit_policy: int | None = None
    inhibit_any_policy: int | None = None
    constraints_critical: bool = True


@dataclass(frozen=True, slots=True)
class Extensions:
    """None means that the extension is not there, which often means something else than empty."""

    is_ca: bool = False
    path_length: int | None = None
    key_usage: KeyUsage | None = None
    extended_key_usage: frozenset[str] | None = None
    subject_key_identifier: bytes | None = None
    authority_key_identifier: bytes | None = None
    subject_alt_names: tuple[x509.GeneralName, ...] = ()
    subject_alt_name_critical: bool = False
    name_constraints: x509.NameConstraints | None = None
    policy: PolicyExtensions = PolicyExtensions()
    crl_distribution_points: frozenset[str] = frozenset()
    unprocessed_critical: tuple[str, ...] = ()


def read_extensions(parsed: x509.Extensions) -> Extensions:
    """Collect the extensions that count. Their values were parsed by the caller's library."""
    read = _Reader()
    for extension in parsed:
        if extension.critical and extension.oid not in _PROCESSED:
            read.unprocessed_critical.append(extension.oid.dotted_string)
        read.take(extension)
    return read.finish()


class _Reader:
    """Collects while the extensions go by; each occurs at most once."""

    def __init__(self) -> None:
        self.is_ca = False
        self.path_length: int | None = None
        self.key_usage: KeyUsage | None = None
        self.extended_key_usage: frozenset[str] | None = None
        self.subject_key_identifier: bytes | None = None
        self.authority_key_identifier: bytes | None = None
        self.subject_alt_names: tuple[x509.GeneralName, ...] = ()
        self.subject_alt_name_critical = False
        self.name_constraints: x509.NameConstraints | None = None
        self.policies: frozenset[str] | None = None
        self.has_mappings = False
        self.require_explicit_policy: int | None = None
        self.inhibit_any_policy: int | None = None
        self.constraints_critical = True
        self.crl_distribution_points: frozenset[str] = frozenset()
        self.unprocessed_critical: list[str] = []

    def take(self, extension: x509.Extension[x509.ExtensionType]) -> None:
        value = extension.value
        # By `type`: these are abstract base classes, of which the library makes no subclasses. With
        # `isinstance`, or a `match`, telling them apart takes longer than parsing them.
        if type(value) is x509.BasicConstraints:
            self.is_ca, self.path_length = value.ca, value.path_length
        elif type(value) is x509.KeyUsage:
            self.key_usage = KeyUsage(value.digital_signature, value.key_cert_sign, value.crl_sign)
        elif type(value) is x509.ExtendedKeyUsage:
            self.extended_key_usage = frozenset(usage.dotted_string for usage in value)
        elif type(value) is x509.SubjectKeyIdentifier:
            self.subject_key_identifier = value.digest
        elif type(value) is x509.AuthorityKeyIdentifier:
            self.authority_key_identifier = value.key_identifier
        elif type(value) is x509.SubjectAlternativeName:
            self.subject_alt_names = tuple(value)
            self.subject_alt_name_critical = extension.critical
        elif type(value) is x509.NameConstraints:
            self.name_constraints = value
        elif type(value) is x509.CertificatePolicies:
            self.policies = frozenset(policy.policy_identifier.dotted_string for policy in value)
        elif type(value) is x509.PolicyConstraints:
            self.require_explicit_policy = value.require_explicit_policy
            self.constraints_critical = extension.critical
        elif type(value) is x509.InhibitAnyPolicy:
            self.inhibit_any_policy = value.skip_certs
        elif type(value) is x509.CRLDistributionPoints:
            self.crl_distribution_points = _locations(value)
        elif extension.oid == ExtensionOID.POLICY_MAPPINGS:
            self.has_mappings = True

    def finish(self) -> Extensions:
        return Extensions(
            is_ca=self.is_ca,
            path_length=self.path_length,
            key_usage=self.key_usage,
            extended_key_usage=self.extended_key_usage,
            subject_key_identifier=self.subject_key_identifier,
            authority_key_identifier=self.authority_key_identifier,
            subject_alt_names=self.subject_alt_names,
            subject_alt_name_critical=self.subject_alt_name_critical,
            name_constraints=self.name_constraints,
            policy=PolicyExtensions(
                self.policies,
                self.has_mappings,
                self.require_explicit_policy,
                self.inhibit_any_policy,
                self.constraints_critical,
            ),
            crl_distribution_points=self.crl_distribution_points,
            unprocessed_critical=tuple(self.unprocessed_critical),
        )


def _locations(points: x509.CRLDistributionPoints) -> frozenset[str]:
    """The URIs of the points that stand for every reason and whose CRLs the issuer itself signs."""
    return frozenset(
        name.value
        for point in points
        if point.full_name and point.reasons is None and not point.crl_issuer
        for name in point.full_name
        if isinstance(name, x509.UniformResourceIdentifier)
    )
