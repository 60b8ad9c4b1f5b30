"""The first tables.

Types are written out here: a migration must go on doing what it did, whatever the code around it becomes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

WORDS = sa.Text()
NUMBER = sa.Integer()
BIG_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON()
BYTES = sa.LargeBinary()

WITHDRAWN = sa.text("status IN ('REVOKED', 'HELD')")
RESERVED = sa.text("status = 'RESERVED'")


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("scope", WORDS, nullable=False),
        sa.Column("secret_sha256", BYTES, nullable=False),
        sa.Column("user_label", WORDS, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("expires", MOMENT, nullable=True),
        sa.Column("last_used", MOMENT, nullable=True),
        sa.Column("revoked", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("secret_sha256", name="uq_api_tokens_secret_sha256"),
    )
    op.create_table(
        "authorities",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("generation", NUMBER, nullable=False),
        sa.Column("status", WORDS, nullable=False),
        sa.Column("certificate_der", BYTES, nullable=False),
        sa.Column("issuer_hash", BYTES, nullable=False),
        sa.Column("key_reference", WORDS, nullable=True),
        sa.Column("key_pem", BYTES, nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("not_after", MOMENT, nullable=False),
        sa.Column("crl_shards", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_authorities"),
        sa.UniqueConstraint("issuer_hash", name="uq_authorities_issuer_hash"),
        sa.UniqueConstraint("kind", "generation", name="uq_authorities_kind_generation"),
    )
    op.create_table(
        "changes",
        sa.Column("number", BIG_NUMBER, autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("payload", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_changes"),
    )
    op.create_table(
        "deleted_names",
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("deleted", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_deleted_names"),
    )
    op.create_table(
        "devices",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("certificate_name", WORDS, nullable=False),
        sa.Column("platform", WORDS, nullable=False),
        sa.Column("serial_number", WORDS, nullable=True),
        sa.Column("status", WORDS, nullable=False),
        sa.Column("profile", DOCUMENT, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("last_updated", MOMENT, nullable=False),
        sa.Column("directory_key", WORDS, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        sa.UniqueConstraint("directory_key", name="uq_devices_directory_key"),
        sa.UniqueConstraint("certificate_name", name="uq_devices_certificate_name"),
    )
    op.create_index("ix_devices_status", "devices", ["status"])
    op.create_table(
        "gateways",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("keys_fingerprint", WORDS, nullable=False),
        sa.Column("address", WORDS, nullable=True),
        sa.Column("health", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gateways"),
    )
    op.create_table(
        "groups",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("description", WORDS, nullable=False),
        sa.Column("type", WORDS, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("last_updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
        sa.UniqueConstraint("name", name="uq_groups_name"),
    )
    op.create_table(
        "heads",
        sa.Column("id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("change_number", BIG_NUMBER, nullable=False),
        sa.Column("log_number", BIG_NUMBER, nullable=False),
        sa.Column("log_hash", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_heads"),
    )
    op.create_table(
        "iwas",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("url", WORDS, nullable=False),
        sa.Column("public_jwk", DOCUMENT, nullable=False),
        sa.Column("key_id", WORDS, nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.Column("realms", DOCUMENT, nullable=False),
        sa.Column("status", WORDS, nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("last_updated", MOMENT, nullable=False),
        sa.Column("last_seen", MOMENT, nullable=True),
        sa.Column("health", DOCUMENT, nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_iwas"),
        sa.UniqueConstraint("key_id", name="uq_iwas_key_id"),
        sa.UniqueConstraint("name", name="uq_iwas_name"),
    )
    op.create_table(
        "log",
        sa.Column("number", BIG_NUMBER, autoincrement=False, nullable=False),
        sa.Column("uuid", WORDS, nullable=False),
        sa.Column("published", MOMENT, nullable=False),
        sa.Column("event_type", WORDS, nullable=False),
        sa.Column("actor_id", WORDS, nullable=False),
        sa.Column("severity", WORDS, nullable=False),
        sa.Column("outcome", WORDS, nullable=False),
        sa.Column("event", WORDS, nullable=False),
        sa.Column("previous_hash", BYTES, nullable=False),
        sa.Column("hash", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_log"),
        sa.UniqueConstraint("uuid", name="uq_log_uuid"),
    )
    op.create_index("ix_log_actor_id_published_number", "log", ["actor_id", "published", "number"])
    op.create_index("ix_log_event_type_published_number", "log", ["event_type", "published", "number"])
    op.create_index("ix_log_published_number", "log", ["published", "number"])
    op.create_table(
        "one_use",
        sa.Column("key", BYTES, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("claim", BIG_NUMBER, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("key", name="pk_one_use"),
    )
    op.create_index("ix_one_use_until", "one_use", ["until"])
    op.create_table(
        "policies",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("app", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("document", DOCUMENT, nullable=False),
        sa.Column("source", WORDS, nullable=False),
        sa.Column("file_sha256", WORDS, nullable=True),
        sa.Column("status", WORDS, nullable=False),
        sa.Column("priority", NUMBER, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("last_updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
        sa.UniqueConstraint("app", name="uq_policies_app"),
    )
    op.create_table(
        "seen_requests",
        sa.Column("key", BYTES, nullable=False),
        sa.Column("app", WORDS, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_seen_requests"),
    )
    op.create_index("ix_seen_requests_until", "seen_requests", ["until"])
    op.create_table(
        "settings",
        sa.Column("name", WORDS, nullable=False),
        sa.Column("value", DOCUMENT, nullable=False),
        sa.Column("last_updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "spool_positions",
        sa.Column("spool_id", WORDS, nullable=False),
        sa.Column("segment", BIG_NUMBER, nullable=False),
        sa.Column("offset", BIG_NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("spool_id", name="pk_spool_positions"),
    )
    op.create_table(
        "users",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("login", WORDS, nullable=False),
        sa.Column("login_key", WORDS, nullable=False),
        sa.Column("email", WORDS, nullable=False),
        sa.Column("first_name", WORDS, nullable=False),
        sa.Column("last_name", WORDS, nullable=False),
        sa.Column("status", WORDS, nullable=False),
        sa.Column("source", WORDS, nullable=False),
        sa.Column("external", DOCUMENT, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("last_updated", MOMENT, nullable=False),
        sa.Column("status_changed", MOMENT, nullable=True),
        sa.Column("directory_key", WORDS, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("directory_key", name="uq_users_directory_key"),
        sa.UniqueConstraint("login_key", name="uq_users_login_key"),
    )
    op.create_index("ix_users_status", "users", ["status"])
    op.create_table(
        "zones",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("document", DOCUMENT, nullable=False),
        sa.Column("status", WORDS, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("last_updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_zones"),
        sa.UniqueConstraint("name", name="uq_zones_name"),
    )
    op.create_table(
        "certificates",
        sa.Column("issuer_hash", BYTES, nullable=False),
        sa.Column("serial_hex", WORDS, nullable=False),
        sa.Column("authority_id", WORDS, nullable=False),
        sa.Column("device_id", WORDS, nullable=False),
        sa.Column("user_id", WORDS, nullable=True),
        sa.Column("profile", WORDS, nullable=False),
        sa.Column("status", WORDS, nullable=False),
        sa.Column("certificate_der", BYTES, nullable=True),
        sa.Column("thumbprint", WORDS, nullable=True),
        sa.Column("not_before", MOMENT, nullable=False),
        sa.Column("not_after", MOMENT, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("revocation_reason", WORDS, nullable=True),
        sa.Column("replaces", WORDS, nullable=True),
        sa.Column("first_seen", MOMENT, nullable=True),
        sa.Column("crl_shard", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["authority_id"], ["authorities.id"], name="fk_certificates_authority_id"),
        sa.PrimaryKeyConstraint("issuer_hash", "serial_hex", name="pk_certificates"),
        sa.UniqueConstraint("thumbprint", name="uq_certificates_thumbprint"),
    )
    op.create_index(
        "ix_certificates_created_issuer_hash_serial_hex",
        "certificates",
        ["created", "issuer_hash", "serial_hex"],
    )
    op.create_index("ix_certificates_device_id", "certificates", ["device_id"])
    op.create_index("ix_certificates_not_after", "certificates", ["not_after"])
    op.create_index(
        "ix_certificates_reserved",
        "certificates",
        ["created"],
        sqlite_where=RESERVED,
        postgresql_where=RESERVED,
    )
    op.create_index(
        "ix_certificates_revoked_at",
        "certificates",
        ["revoked_at"],
        sqlite_where=WITHDRAWN,
        postgresql_where=WITHDRAWN,
    )
    op.create_index("ix_certificates_user_id", "certificates", ["user_id"])
    op.create_index(
        "ix_certificates_withdrawn",
        "certificates",
        ["issuer_hash", "crl_shard", "serial_hex"],
        sqlite_where=WITHDRAWN,
        postgresql_where=WITHDRAWN,
    )
    op.create_table(
        "crls",
        sa.Column("authority_id", WORDS, nullable=False),
        sa.Column("shard", NUMBER, autoincrement=False, nullable=False),
        sa.Column("number", BIG_NUMBER, nullable=False),
        sa.Column("this_update", MOMENT, nullable=False),
        sa.Column("next_update", MOMENT, nullable=False),
        sa.Column("der", BYTES, nullable=False),
        sa.ForeignKeyConstraint(["authority_id"], ["authorities.id"], name="fk_crls_authority_id"),
        sa.PrimaryKeyConstraint("authority_id", "shard", name="pk_crls"),
    )
    op.create_table(
        "device_users",
        sa.Column("device_id", WORDS, nullable=False),
        sa.Column("user_id", WORDS, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name="fk_device_users_device_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_device_users_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", "user_id", name="pk_device_users"),
    )
    op.create_index("ix_device_users_user_id", "device_users", ["user_id"])
    op.create_table(
        "gateway_workers",
        sa.Column("gateway_id", WORDS, nullable=False),
        sa.Column("worker", NUMBER, autoincrement=False, nullable=False),
        sa.Column("applied_number", BIG_NUMBER, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name="fk_gateway_workers_gateway_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("gateway_id", "worker", name="pk_gateway_workers"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", WORDS, nullable=False),
        sa.Column("user_id", WORDS, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name="fk_group_members_group_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_group_members_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_group_members"),
    )
    op.create_index("ix_group_members_user_id", "group_members", ["user_id"])
    op.create_table(
        "log_targets",
        sa.Column("target_id", WORDS, nullable=False),
        sa.Column("number", BIG_NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["number"], ["log.number"], name="fk_log_targets_number", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("target_id", "number", name="pk_log_targets"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_log_targets_number", "log_targets", ["number"])
    heads = sa.table(
        "heads",
        sa.column("id", sa.Integer),
        sa.column("change_number", sa.BigInteger),
        sa.column("log_number", sa.BigInteger),
        sa.column("log_hash", sa.LargeBinary),
    )
    op.execute(heads.insert().values(id=1, change_number=0, log_number=0, log_hash=bytes(32)))
