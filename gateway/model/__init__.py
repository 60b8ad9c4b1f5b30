"""Frozen values that travel between the rooms. Nothing here reads a clock, a file or a socket."""
