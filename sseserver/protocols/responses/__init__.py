"""
OpenAI's Responses, without I/O.

For clients: `request` (a request becomes a prompt), `items` (of a conversation), `output` (of an answer), `response`
(the object) and `translation` (an answer as events).

Reference: https://platform.openai.com/docs/api-reference/responses and https://www.openresponses.org/specification.

For an upstream that speaks this protocol: `upstreamrequest` and `upstream`.
"""
