"""A page of htmx whose answers come from sseserver: flask --app htmxapp run --port 8001"""

import secrets
import time
from pathlib import Path
from threading import Thread

import httpx
from flask import Flask, request, send_file
from markupsafe import Markup, escape

HUB = "http://127.0.0.1:8000"
KEY = Path("app.key").read_text().strip()
ANSWER = Markup('<p hx-ext="sse" sse-connect="{}" sse-swap="html" hx-swap="beforeend"></p>')

app = Flask(__name__, static_folder="node_modules")
hub = httpx.Client(base_url=HUB, headers={"Authorization": f"Bearer {KEY}"})


def publish(stream, question):
    try:
        for word in f"You asked: {question}".split():
            time.sleep(0.1)  # Your model works.
            hub.post(stream, json={"event": "html", "data": f"{escape(word)} "}).raise_for_status()
        hub.post(stream, headers={"Stream-Closed": "true"}).raise_for_status()
    except BaseException:
        hub.post(f"{stream}/cancel")
        raise


@app.get("/")
def page():
    return send_file("htmx.html")


@app.post("/answers")
def answer():
    stream = f"/streams/answer-{secrets.token_urlsafe(16)}"
    hub.put(stream).raise_for_status()
    link = hub.post(f"{stream}/links", json={"seconds": 600}).raise_for_status()
    Thread(target=publish, args=(stream, request.form["question"])).start()
    return ANSWER.format(HUB + link.json()["url"])
