"""Stores: where stream logs are kept."""
