"""YAML files in, validated frozen settings out; every error names file, line and key."""
