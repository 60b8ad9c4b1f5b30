"""The Registration Task: what runs on a workstation. It can be installed alone."""
