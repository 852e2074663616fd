"""
The options of upstream APIs. `sseserver.options.table` puts them beside the others.
"""

from __future__ import annotations

from sseserver.options.row import Group, Option
from sseserver.options.types import NAMED_FILE, NAMED_HEADER, NAMED_URL, SIZE, TIMEOUT, UPSTREAM_API
from sseserver.options.variables import KEY_VARIABLE

UPSTREAM = (
    Option(
        "upstream",
        NAMED_URL,
        None,
        Group.SOURCE,
        "Stream the answers of this OpenAI-compatible API, for example `http://127.0.0.1:11434/v1`. May be given more "
        "than once, with a name for each, for example `local=http://127.0.0.1:11434/v1`: the first one that has the "
        "model answers, and the next one if it fails before its first token.",
        repeatable=True,
        otherNames=("api", "url", "base-url", "backend"),
    ),
    Option(
        "upstream-key-file",
        NAMED_FILE,
        None,
        Group.SOURCE,
        f"File with the API key in one line. Without this option the key is `${KEY_VARIABLE}`. Of several APIs each "
        f"has its own: `NAME=FILE`, or `${KEY_VARIABLE}_NAME`. May be given more than once.",
        needs=("upstream",),
        repeatable=True,
        otherNames=("key", "api-key"),
    ),
    Option(
        "upstream-header",
        NAMED_HEADER,
        None,
        Group.SOURCE,
        "Send this header with each request to the API: `HEADER: VALUE`, `HEADER: @FILE` or `HEADER: $VARIABLE`, for "
        "example `api-key: @key.txt`. Of several APIs it names one: `NAME=HEADER: VALUE`. May be given more than once.",
        needs=("upstream",),
        repeatable=True,
    ),
    Option(
        "upstream-proxy",
        NAMED_URL,
        None,
        Group.SOURCE,
        "Reach the API through this HTTP proxy, `none` for no proxy. Without this option the environment decides: "
        "`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`. Without a name it is for all APIs that are not named. "
        "May be given more than once.",
        needs=("upstream",),
        repeatable=True,
    ),
    Option(
        "upstream-api",
        UPSTREAM_API,
        None,
        Group.SOURCE,
        "Protocol of the API: `chat` completions, OpenAI's `responses`, or `auto`, which asks for chat completions "
        "first and is the default. Without a name it is for all APIs that are not named. May be given more than once.",
        needs=("upstream",),
        repeatable=True,
    ),
    Option(
        "connect-timeout",
        TIMEOUT,
        10.0,
        Group.SOURCE,
        "Time limit for connecting to the API, in seconds.",
        needs=("upstream",),
    ),
    Option(
        "first-token-timeout",
        TIMEOUT,
        60.0,
        Group.SOURCE,
        "Time limit for the API's first token, in seconds.",
        needs=("upstream",),
    ),
    Option(
        "token-timeout",
        TIMEOUT,
        60.0,
        Group.SOURCE,
        "Time limit between two tokens of the API, in seconds.",
        needs=("upstream",),
    ),
    Option(
        "max-chunk",
        SIZE,
        16 << 20,
        Group.SOURCE,
        "Size of the API's largest chunk, in bytes.",
        minimum=1 << 10,
        needs=("upstream",),
    ),
)
