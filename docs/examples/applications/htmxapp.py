"""A page of htmx whose answers come from sseserver: flask --app htmxapp run --port 8001"""

import time
from threading import Thread

import hub
from flask import Flask, request, send_file
from markupsafe import Markup

ANSWER = Markup('<p hx-sse:connect="{}&format=html" hx-sse:close="done" hx-swap="beforeend"></p>')

app = Flask(__name__, static_folder="node_modules")


def publish(stream, question):
    try:
        for word in f"You asked: {question}".split():
            time.sleep(0.1)  # Your model works.
            hub.post(stream, json={"token": f"{word} "})
        hub.post(stream, headers={"Stream-Closed": "true"})
    except BaseException:
        hub.post(f"{stream}/cancel")
        raise


@app.get("/")
def page():
    return send_file("htmx.html")


@app.post("/answers")
def answer():
    stream = hub.openStream()
    Thread(target=publish, args=(stream, request.form["question"])).start()
    return ANSWER.format(hub.link(stream))
