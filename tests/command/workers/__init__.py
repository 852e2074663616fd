"""
Tests for `sseserver.command.workers`.
"""
