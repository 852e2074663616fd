"""Answers of a Flask application, streamed by sseserver: flask --app flaskapp run --port 8001"""

import secrets
import time
from threading import Thread

import hub
from flask import Flask, abort, request, send_file

app = Flask(__name__)
owners: dict[str, str | None] = {}  # In your project: the table of answers.


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
    response = send_file("page.html")
    response.set_cookie("user", request.cookies.get("user") or secrets.token_urlsafe(16), httponly=True)
    return response


@app.post("/answers")
def answer():
    stream = hub.openStream()
    owners[stream] = request.cookies.get("user")
    Thread(target=publish, args=(stream, request.get_json()["question"])).start()
    return {"url": hub.link(stream)}


@app.post("/links/<name>")
def renew(name):
    if owners.get(f"/streams/{name}") != request.cookies.get("user", ""):
        abort(404)
    return {"url": hub.link(f"/streams/{name}")}
