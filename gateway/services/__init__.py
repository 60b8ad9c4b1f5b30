"""Use cases as one screen each, with the small Protocols they need from the world."""
