"""Answers of a FastAPI application, streamed by sseserver: uvicorn fastapiapp:app --port 8001"""

import asyncio
import secrets
from typing import Annotated

import hub
from fastapi import BackgroundTasks, Body, Cookie, FastAPI, HTTPException
from fastapi.responses import FileResponse

app = FastAPI()
owners: dict[str, str | None] = {}  # In your project: the table of answers.
User = Annotated[str, Cookie()]


async def publish(stream, question):
    try:
        for word in f"You asked: {question}".split():
            await asyncio.sleep(0.1)  # Your model works.
            await asyncio.to_thread(hub.post, stream, json={"token": f"{word} "})
        await asyncio.to_thread(hub.post, stream, headers={"Stream-Closed": "true"})
    except BaseException:
        await asyncio.to_thread(hub.post, f"{stream}/cancel")
        raise


@app.get("/")
def page(user: User = ""):
    response = FileResponse("page.html")
    response.set_cookie("user", user or secrets.token_urlsafe(16), httponly=True)
    return response


@app.post("/answers")
def answer(question: Annotated[str, Body(embed=True)], tasks: BackgroundTasks, user: User = ""):
    stream = hub.openStream()
    owners[stream] = user or None
    tasks.add_task(publish, stream, question)
    return {"url": hub.link(stream)}


@app.post("/links/{name}")
def renew(name: str, user: User = ""):
    if owners.get(f"/streams/{name}") != user:
        raise HTTPException(404)
    return {"url": hub.link(f"/streams/{name}")}
