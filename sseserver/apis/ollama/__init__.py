"""Ollama's API, `/ollama/api`: `answers` and `models` have the resources, `resource` their base."""
