"""One module for each system that the agent runs on. Each has `this_platform()`."""
