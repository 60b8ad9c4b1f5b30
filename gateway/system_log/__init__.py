"""The System Log, pure: what an event looks like to other tools, how rows are chained and asked for."""
