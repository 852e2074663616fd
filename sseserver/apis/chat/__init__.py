"""
The chat completions API, `/v1`: the URLs that OpenAI's clients request.

`completions` and `models` have the resources, `resource` their base.
"""
