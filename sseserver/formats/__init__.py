"""Formats: the entries of a stream log as bytes for viewers."""
