"""Tests of the API of Durable Streams' readers."""
