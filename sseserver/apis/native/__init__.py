"""The native API: `streams`."""
