"""The hub of an application: requests that outlast its restarts, and links for browsers."""

import secrets
import time
from pathlib import Path

import httpx

HUB = "http://127.0.0.1:8000"  # For this application.
PUBLIC_HUB = HUB  # For browsers: behind a proxy such as https://hub.example.com.
KEY = Path("app.key").read_text().strip()

client = httpx.Client(base_url=HUB, headers={"Authorization": f"Bearer {KEY}"})


def openStream():
    stream = f"/streams/answer-{secrets.token_urlsafe(16)}"
    client.put(stream).raise_for_status()
    return stream


def post(path, headers=(), **body):
    headers = {"Idempotency-Key": secrets.token_urlsafe(16), **dict(headers)}
    while True:
        try:
            answer = client.post(path, headers=headers, **body)
            if answer.status_code not in {429, 502, 503, 504}:
                return answer.raise_for_status()
            pause = int(answer.headers.get("Retry-After", 1))
        except httpx.TransportError:
            pause = 1
        time.sleep(pause)


def link(stream):
    made = post(f"{stream}/links", json={"rights": ["read"], "seconds": 600})
    return PUBLIC_HUB + made.json()["url"]
