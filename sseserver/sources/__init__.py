"""
Token sources: a text, Python code, a program, an OpenAI-compatible API.

Each provides `ITokenSource`: `text`, `standardinput`, `iterables`, `function`, `process` and `upstream`. `tokenthread`
is a part of `iterables`, `launch` and `pipes` are parts of `process`, and the modules `upstream…` of `upstream`.
Sources know nothing of logs, stores or the web.
"""
