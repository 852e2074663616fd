"""A page of Datastar whose answers come from sseserver: flask --app datastarapp run --port 8001"""

import json
import secrets
import time
from pathlib import Path
from threading import Thread

import httpx
from flask import Flask, request, send_file
from markupsafe import Markup

KEY = Path("app.key").read_text().strip()
ANSWER = Markup("""<p id="answer" data-init="@get('{}', {{filterSignals: {{include: /^$/}}}})">""")
PIECE = Markup("selector #answer\nmode append\nelements <span>{} </span>")

app = Flask(__name__)
hub = httpx.Client(base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {KEY}"})


def patch(stream, kind, data):
    hub.post(stream, json={"event": f"datastar-patch-{kind}", "data": data}).raise_for_status()


def publish(stream, question):
    try:
        for word in f"You asked: {question}".split():
            time.sleep(0.1)  # Your model works.
            patch(stream, "elements", PIECE.format(word))
        patch(stream, "signals", f"signals {json.dumps({'state': 'done'})}")
        hub.post(stream, headers={"Stream-Closed": "true"}).raise_for_status()
    except BaseException:
        patch(stream, "signals", f"signals {json.dumps({'state': 'failed'})}")
        hub.post(f"{stream}/cancel")
        raise


@app.get("/")
def page():
    return send_file("datastar.html")


@app.post("/answers")
def answer():
    stream = f"/streams/answer-{secrets.token_urlsafe(16)}"
    hub.put(stream).raise_for_status()
    link = hub.post(f"{stream}/links", json={"seconds": 600}).raise_for_status()
    Thread(target=publish, args=(stream, request.get_json()["question"])).start()
    return ANSWER.format(link.json()["url"])
