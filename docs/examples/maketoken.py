"""Prints a token for `twistd sseserver --jwt-algorithm HS256 --jwt-key-file FILE`: python maketoken.py FILE USER"""

import sys
import time
from pathlib import Path

import jwt

key = Path(sys.argv[1]).read_text().rstrip("\n")
user = sys.argv[2]

token = jwt.encode(
    {
        "sub": user,
        "aud": "sseserver",
        "exp": int(time.time()) + 3600,
        "sseserver": [{"rights": ["run", "read", "cancel"], "streams": f"{user}-*"}],
    },
    key,
    "HS256",
)
print(token)
