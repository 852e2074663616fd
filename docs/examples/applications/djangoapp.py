"""Answers of a Django application, streamed by sseserver: python djangoapp.py runserver --noreload 8001"""

import json
import secrets
import sys
import time
from pathlib import Path
from threading import Thread

import httpx
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import FileResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

HUB = "http://127.0.0.1:8000"
KEY = Path("app.key").read_text().strip()
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


def page(request):
    return FileResponse(Path("page.html").open("rb"))


@require_POST
def answer(request):
    question = json.loads(request.body)["question"]
    stream = f"/streams/answer-{secrets.token_urlsafe(16)}"
    hub.put(stream).raise_for_status()
    link = hub.post(f"{stream}/links", json={"seconds": 600}).raise_for_status()
    Thread(target=publish, args=(stream, question)).start()
    return JsonResponse({"url": HUB + link.json()["url"]})


urlpatterns = [path("", page), path("answers", answer)]

if __name__ == "__main__":
    settings.configure(DEBUG=True, ROOT_URLCONF=sys.modules[__name__], SECRET_KEY=secrets.token_hex())
    execute_from_command_line(sys.argv)
