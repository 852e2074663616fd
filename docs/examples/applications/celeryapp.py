"""Answers of Celery tasks, streamed by sseserver: celery --app celeryapp worker"""

import secrets
import time
from pathlib import Path

import httpx
from celery import Celery

HUB = "http://127.0.0.1:8000"
KEY = Path("app.key").read_text().strip()

app = Celery("celeryapp", broker="redis://127.0.0.1:6379/0")
hub = httpx.Client(base_url=HUB, headers={"Authorization": f"Bearer {KEY}"}, transport=httpx.HTTPTransport(retries=3))


@app.task(bind=True)
def publish(task, stream, question):
    try:
        for number, word in enumerate(f"You asked: {question}".split()):
            time.sleep(0.1)  # Your model works.
            key = {"Idempotency-Key": f"{task.request.id}-{number}"}
            hub.post(stream, json={"token": f"{word} "}, headers=key).raise_for_status()
        hub.post(stream, headers={"Stream-Closed": "true"}).raise_for_status()
    except BaseException:
        hub.post(f"{stream}/cancel")
        raise


def ask(question):
    stream = f"/streams/answer-{secrets.token_urlsafe(16)}"
    hub.put(stream).raise_for_status()
    link = hub.post(f"{stream}/links", json={"seconds": 600}).raise_for_status()
    publish.delay(stream, question)
    return HUB + link.json()["url"]
