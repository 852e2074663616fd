"""
Tests for `sseserver.options`.
"""
