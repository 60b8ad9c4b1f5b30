"""Fixtures that every test may take."""

from support.kerberos import kerberos, kerberos_forests
from support.postgres import empty_postgres_url, postgres_cluster, postgres_url, store, store_url
from support.samba import samba, samba_domain, samba_partner, samba_partner_domain

__all__ = [
    "empty_postgres_url",
    "kerberos",
    "kerberos_forests",
    "postgres_cluster",
    "postgres_url",
    "samba",
    "samba_domain",
    "samba_partner",
    "samba_partner_domain",
    "store",
    "store_url",
]
