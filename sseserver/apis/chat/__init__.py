"""The chat completions API: `v1`."""
