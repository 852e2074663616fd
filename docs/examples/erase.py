"""Deletes the streams whose names have a prefix: python erase.py http://127.0.0.1:8000 KEYFILE PREFIX"""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

server, keyFile, prefix = sys.argv[1:]
key = Path(keyFile).read_text().strip()


def ask(method: str, place: str) -> Any:
    with urlopen(Request(server + place, method=method, headers={"Authorization": f"Bearer {key}"})) as answer:
        return json.loads(answer.read() or b"{}")


place = f"/streams?prefix={prefix}"
while place:
    page = ask("GET", place)
    for stream in page["streams"]:
        ask("DELETE", stream["url"])
        print(f"Deleted {stream['name']}.")
    place = page["next"]
