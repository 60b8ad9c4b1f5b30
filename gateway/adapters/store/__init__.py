"""Where the organization's people, devices, certificates, changes and log are kept."""

from gateway.adapters.store.engine import Patience
from gateway.adapters.store.repositories import View
from gateway.adapters.store.store import Store
from gateway.adapters.store.watch import FeedWatch
from gateway.adapters.store.work import Committed, Work

__all__ = ["Committed", "FeedWatch", "Patience", "Store", "View", "Work"]
