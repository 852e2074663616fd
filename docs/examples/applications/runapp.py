"""A chat in front of a model that sseserver runs: flask --app runapp run --port 8001"""

import secrets

import hub
from flask import Flask, abort, request, send_file

app = Flask(__name__)
owners: dict[str, str | None] = {}  # In your project: the table of answers.


@app.get("/")
def page():
    response = send_file("page.html")
    response.set_cookie("user", request.cookies.get("user") or secrets.token_urlsafe(16), httponly=True)
    return response


@app.post("/answers")
def answer():
    started = hub.post("/streams", json={"prompt": request.get_json()["question"]})
    stream = started.headers["Location"]
    owners[stream] = request.cookies.get("user")
    return {"url": hub.link(stream)}


@app.post("/links/<name>")
def renew(name):
    if owners.get(f"/streams/{name}") != request.cookies.get("user", ""):
        abort(404)
    return {"url": hub.link(f"/streams/{name}")}
