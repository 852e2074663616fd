"""Answers of a Flask application, streamed by sseserver: flask --app flaskapp run --port 8001"""

import secrets
import time
from pathlib import Path
from threading import Thread

import httpx
from flask import Flask, request, send_file

HUB = "http://127.0.0.1:8000"
KEY = Path("app.key").read_text().strip()

app = Flask(__name__)
hub = httpx.Client(base_url=HUB, headers={"Authorization": f"Bearer {KEY}"})


def publish(stream, question):
    try:
        for word in f"You asked: {question}".split():
            time.sleep(0.1)  # Your model works.
            hub.post(stream, json={"token": f"{word} "}).raise_for_status()
        hub.post(stream, headers={"Stream-Closed": "true"}).raise_for_status()
    except BaseException:
        hub.post(f"{stream}/cancel")
        raise


@app.get("/")
def page():
    return send_file("page.html")


@app.post("/answers")
def answer():
    question = request.get_json()["question"]
    stream = f"/streams/answer-{secrets.token_urlsafe(16)}"
    hub.put(stream).raise_for_status()
    link = hub.post(f"{stream}/links", json={"seconds": 600}).raise_for_status()
    Thread(target=publish, args=(stream, question)).start()
    return {"url": HUB + link.json()["url"]}
