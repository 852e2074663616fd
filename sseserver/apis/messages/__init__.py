"""Anthropic's Messages, `/v1/messages`: `messages` has the resources, `resource` their base."""
