"""A page of Datastar whose answers come from sseserver: flask --app datastarapp run --port 8001"""

import json
import time
from threading import Thread

import hub
from flask import Flask, request, send_file
from markupsafe import Markup

ANSWER = Markup("""<p id="answer" data-init="@get('{}', {{filterSignals: {{include: /^$/}}}})">""")
PIECE = Markup("selector #answer\nmode append\nelements <span>{} </span>")

app = Flask(__name__)


def patch(stream, kind, data):
    hub.post(stream, json={"event": f"datastar-patch-{kind}", "data": data})


def publish(stream, question):
    try:
        for word in f"You asked: {question}".split():
            time.sleep(0.1)  # Your model works.
            patch(stream, "elements", PIECE.format(word))
        patch(stream, "signals", f"signals {json.dumps({'state': 'done'})}")
        hub.post(stream, headers={"Stream-Closed": "true"})
    except BaseException:
        patch(stream, "signals", f"signals {json.dumps({'state': 'failed'})}")
        hub.post(f"{stream}/cancel")
        raise


@app.get("/")
def page():
    return send_file("datastar.html")


@app.post("/answers")
def answer():
    stream = hub.openStream()
    Thread(target=publish, args=(stream, request.get_json()["question"])).start()
    return ANSWER.format(hub.link(stream))
