"""What touches the world for the services: files, URLs, memory stores, the clock."""
