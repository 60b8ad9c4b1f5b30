"""Fixtures that every test may take."""

from support.postgres import empty_postgres_url, postgres_cluster, postgres_url, store, store_url

__all__ = ["empty_postgres_url", "postgres_cluster", "postgres_url", "store", "store_url"]
