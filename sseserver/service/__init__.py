"""The service: streams, runs and viewers."""
