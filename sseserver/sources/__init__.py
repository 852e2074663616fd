"""
Token sources: a text, Python code, a program, an OpenAI-compatible API.

Each provides `ITokenSource`: `text`, `iterables`, `function`, `process` and `upstream`. The other
modules are parts of these. Sources know nothing of logs, stores or the web.
"""
