"""The tables of the store. Migrations bring a store to this shape; a test holds both together.

Column keys are the names of the fields in `gateway.model`; where the column is called otherwise, its own
name comes first.
"""

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from gateway.adapters.store.columns import BigNumber, Document, Enumerated, Moment, SerialHex, Words
from gateway.model.changes import ChangeKind
from gateway.model.issued import AuthorityKind, AuthorityStatus, CertificateStatus, RevocationReason
from gateway.model.iwa import IwaStatus
from gateway.model.org import (
    DeviceStatus,
    GroupType,
    Lifecycle,
    NameKind,
    PolicySource,
    TokenScope,
    UserSource,
    UserStatus,
)

SCHEMA_VERSION: Final = "0001"  # of the newest migration

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

heads = Table(
    "heads",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1, the only row
    Column("change_number", BigNumber, nullable=False),
    Column("log_number", BigNumber, nullable=False),
    Column("log_hash", LargeBinary, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Words, primary_key=True),
    Column("login", Words, nullable=False),
    Column("login_key", Words, nullable=False, unique=True),
    Column("email", Words, nullable=False),
    Column("first_name", Words, nullable=False),
    Column("last_name", Words, nullable=False),
    Column("status", Enumerated(UserStatus), nullable=False),
    Column("source", Enumerated(UserSource), nullable=False),
    Column("external", Document, nullable=False),
    Column("created", Moment, nullable=False),
    Column("last_updated", Moment, nullable=False),
    Column("status_changed", Moment),
    Column("directory_key", Words, unique=True),
)
Index(None, users.c.status)

groups = Table(
    "groups",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False, unique=True),
    Column("description", Words, nullable=False),
    Column("type", Enumerated(GroupType), nullable=False),
    Column("created", Moment, nullable=False),
    Column("last_updated", Moment, nullable=False),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", Words, ForeignKey(groups.c.id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", Words, ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
)
Index(None, group_members.c.user_id)

devices = Table(
    "devices",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("certificate_name", Words, nullable=False, unique=True),
    Column("platform", Words, nullable=False),
    Column("serial_number", Words),
    Column("status", Enumerated(DeviceStatus), nullable=False),
    Column("profile", Document, nullable=False),
    Column("created", Moment, nullable=False),
    Column("last_updated", Moment, nullable=False),
    Column("directory_key", Words, unique=True),
)
Index(None, devices.c.status)

iwas = Table(
    "iwas",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False, unique=True),
    Column("url", Words, nullable=False),
    Column("public_jwk", Document, nullable=False),
    Column("key_id", Words, nullable=False, unique=True),
    Column("version", Words, nullable=False),
    Column("realms", Document, nullable=False),
    Column("status", Enumerated(IwaStatus), nullable=False),
    Column("is_primary", Boolean, nullable=False),
    Column("created", Moment, nullable=False),
    Column("last_updated", Moment, nullable=False),
    Column("last_seen", Moment),
    Column("health", Document, nullable=False),
    Column("online", Boolean, nullable=False),
)

deleted_names = Table(
    "deleted_names",
    metadata,
    Column("kind", Enumerated(NameKind), primary_key=True),
    Column("name", Words, primary_key=True),
    Column("deleted", Moment, nullable=False),
)

device_users = Table(
    "device_users",
    metadata,
    Column("device_id", Words, ForeignKey(devices.c.id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", Words, ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("created", Moment, nullable=False),
)
Index(None, device_users.c.user_id)

authorities = Table(
    "authorities",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("kind", Enumerated(AuthorityKind), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("status", Enumerated(AuthorityStatus), nullable=False),
    Column("certificate_der", LargeBinary, nullable=False),
    Column("issuer_hash", LargeBinary, nullable=False, unique=True),
    Column("key_reference", Words),
    Column("key_pem", LargeBinary),
    Column("created", Moment, nullable=False),
    Column("not_after", Moment, nullable=False),
    Column("crl_shards", Integer, nullable=False),
    UniqueConstraint("kind", "generation"),
)

# Certificates outlive the devices and users that they were issued to: a CRL has to go on naming them.
certificates = Table(
    "certificates",
    metadata,
    Column("issuer_hash", LargeBinary, primary_key=True),
    Column("serial_hex", SerialHex, primary_key=True, key="serial_number"),
    Column("authority_id", Words, ForeignKey(authorities.c.id), nullable=False),
    Column("device_id", Words, nullable=False),
    Column("user_id", Words),
    Column("profile", Words, nullable=False),
    Column("status", Enumerated(CertificateStatus), nullable=False),
    Column("certificate_der", LargeBinary),
    Column("thumbprint", Words, unique=True),
    Column("not_before", Moment, nullable=False),
    Column("not_after", Moment, nullable=False),
    Column("created", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("revocation_reason", Enumerated(RevocationReason)),
    Column("replaces", Words),
    Column("first_seen", Moment),
    Column("crl_shard", Integer, nullable=False),
)
# Queries use this very text: SQLite takes a partial index only for a condition without parameters.
WITHDRAWN: Final = text("status IN ('REVOKED', 'HELD')")
RESERVED: Final = text("status = 'RESERVED'")
Index(None, certificates.c.device_id)
Index(None, certificates.c.user_id)
Index(None, certificates.c.not_after)
Index(None, certificates.c.created, certificates.c.issuer_hash, certificates.c.serial_number)
Index(
    "ix_certificates_withdrawn",
    certificates.c.issuer_hash,
    certificates.c.crl_shard,
    certificates.c.serial_number,
    sqlite_where=WITHDRAWN,
    postgresql_where=WITHDRAWN,
)
Index(
    "ix_certificates_revoked_at",
    certificates.c.revoked_at,
    sqlite_where=WITHDRAWN,
    postgresql_where=WITHDRAWN,
)
Index(
    "ix_certificates_reserved",
    certificates.c.created,
    sqlite_where=RESERVED,
    postgresql_where=RESERVED,
)

crls = Table(
    "crls",
    metadata,
    Column("authority_id", Words, ForeignKey(authorities.c.id), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("number", BigNumber, nullable=False),
    Column("this_update", Moment, nullable=False),
    Column("next_update", Moment, nullable=False),
    Column("der", LargeBinary, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("id", Words, primary_key=True),
    Column("app", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("document", Document, nullable=False),
    Column("source", Enumerated(PolicySource), nullable=False),
    Column("file_sha256", Words),
    Column("status", Enumerated(Lifecycle), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    Column("last_updated", Moment, nullable=False),
)

zones = Table(
    "zones",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False, unique=True),
    Column("document", Document, nullable=False),
    Column("status", Enumerated(Lifecycle), nullable=False),
    Column("created", Moment, nullable=False),
    Column("last_updated", Moment, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Words, primary_key=True),
    Column("value", Document, nullable=False),
    Column("last_updated", Moment, nullable=False),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("scope", Enumerated(TokenScope), nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False, unique=True),
    Column("user_label", Words, nullable=False, key="user"),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("last_used", Moment),
    Column("revoked", Moment),
)

changes = Table(
    "changes",
    metadata,
    Column("number", BigNumber, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("kind", Enumerated(ChangeKind), nullable=False),
    Column("payload", Document, nullable=False),
)

# `event` is the canonical JSON that the hash was made of, so it is kept as text and never re-written.
log = Table(
    "log",
    metadata,
    Column("number", BigNumber, primary_key=True, autoincrement=False),
    Column("uuid", Words, nullable=False, unique=True),
    Column("published", Moment, nullable=False),
    Column("event_type", Words, nullable=False),
    Column("actor_id", Words, nullable=False),
    Column("severity", Words, nullable=False),
    Column("outcome", Words, nullable=False),
    Column("event", Words, nullable=False, key="event_json"),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
Index(None, log.c.published, log.c.number)
Index(None, log.c.event_type, log.c.published, log.c.number)
Index(None, log.c.actor_id, log.c.published, log.c.number)

log_targets = Table(
    "log_targets",
    metadata,
    Column("target_id", Words, primary_key=True),
    Column(
        "number",
        BigNumber,
        ForeignKey(log.c.number, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sqlite_with_rowid=False,
)
Index(None, log_targets.c.number)

one_use = Table(
    "one_use",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("until", Moment, nullable=False),
    Column("claim", BigNumber, nullable=False, server_default="0"),  # who claimed it knows it again by this
)
Index(None, one_use.c.until)

seen_requests = Table(
    "seen_requests",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("app", Words, nullable=False),
    Column("until", Moment, nullable=False),
)
Index(None, seen_requests.c.until)

gateways = Table(
    "gateways",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("keys_fingerprint", Words, nullable=False),
    Column("address", Words),
    Column("health", Document, nullable=False),
)

gateway_workers = Table(
    "gateway_workers",
    metadata,
    Column("gateway_id", Words, ForeignKey(gateways.c.id, ondelete="CASCADE"), primary_key=True),
    Column("worker", Integer, primary_key=True, autoincrement=False),
    Column("applied_number", BigNumber, nullable=False),
    Column("seen_at", Moment, nullable=False),
)

spool_positions = Table(
    "spool_positions",
    metadata,
    Column("spool_id", Words, primary_key=True),
    Column("segment", BigNumber, nullable=False),
    Column("offset", BigNumber, nullable=False),
)
