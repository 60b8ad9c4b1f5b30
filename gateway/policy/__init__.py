"""The policy decision point: conditions, rules, lint, explain. Pure."""
