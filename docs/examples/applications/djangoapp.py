"""Answers of a Django application, streamed by sseserver: python djangoapp.py runserver --noreload 8001"""

import json
import secrets
import sys
import time
from pathlib import Path
from threading import Thread

import hub
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

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


def page(request):
    response = HttpResponse(Path("page.html").read_bytes())
    response.set_cookie("user", request.COOKIES.get("user") or secrets.token_urlsafe(16), httponly=True)
    return response


def answer(request):
    stream = hub.openStream()
    owners[stream] = request.COOKIES.get("user")
    Thread(target=publish, args=(stream, json.loads(request.body)["question"])).start()
    return JsonResponse({"url": hub.link(stream)})


def renew(request, name):
    mine = owners.get(f"/streams/{name}") == request.COOKIES.get("user", "")
    return JsonResponse({"url": hub.link(f"/streams/{name}")}) if mine else HttpResponse(status=404)


urlpatterns = [path("", page), path("answers", require_POST(answer)), path("links/<name>", require_POST(renew))]

if __name__ == "__main__":
    settings.configure(DEBUG=True, ROOT_URLCONF=sys.modules[__name__], SECRET_KEY=secrets.token_hex())
    execute_from_command_line(sys.argv)
