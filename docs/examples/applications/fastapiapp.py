"""Answers of a FastAPI application, streamed by sseserver: uvicorn fastapiapp:app --port 8001"""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

import httpx
from fastapi import BackgroundTasks, Body, FastAPI
from fastapi.responses import FileResponse

HUB = "http://127.0.0.1:8000"
KEY = Path("app.key").read_text().strip()

app = FastAPI()
hub = httpx.AsyncClient(base_url=HUB, headers={"Authorization": f"Bearer {KEY}"})


async def publish(stream, question):
    try:
        for word in f"You asked: {question}".split():
            await asyncio.sleep(0.1)  # Your model works.
            (await hub.post(stream, json={"token": f"{word} "})).raise_for_status()
        (await hub.post(stream, headers={"Stream-Closed": "true"})).raise_for_status()
    except BaseException:
        await hub.post(f"{stream}/cancel")
        raise


@app.get("/")
async def page():
    return FileResponse("page.html")


@app.post("/answers")
async def answer(question: Annotated[str, Body(embed=True)], tasks: BackgroundTasks):
    stream = f"/streams/answer-{secrets.token_urlsafe(16)}"
    (await hub.put(stream)).raise_for_status()
    link = (await hub.post(f"{stream}/links", json={"seconds": 600})).raise_for_status()
    tasks.add_task(publish, stream, question)
    return {"url": HUB + link.json()["url"]}
