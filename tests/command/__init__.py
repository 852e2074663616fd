"""
Tests for `sseserver.command`.
"""
