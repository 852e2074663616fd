"""Answers of Celery tasks, streamed by sseserver: celery --app celeryapp worker"""

import time

import hub
from celery import Celery

app = Celery("celeryapp", broker="redis://127.0.0.1:6379/0")


@app.task
def publish(stream, question):
    try:
        for word in f"You asked: {question}".split():
            time.sleep(0.1)  # Your model works.
            hub.post(stream, json={"token": f"{word} "})
        hub.post(stream, headers={"Stream-Closed": "true"})
    except BaseException:
        hub.post(f"{stream}/cancel")
        raise


def ask(question):
    stream = hub.openStream()
    publish.delay(stream, question)
    return hub.link(stream)
