"""
Tests for `sseserver.worker`.
"""
