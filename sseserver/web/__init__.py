"""The resources: what a client sees over HTTP."""
