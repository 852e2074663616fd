"""The chat completions API, `/v1`: the URLs that OpenAI's clients request."""
