"""Asks for an answer in the background, and reads it over connections that are cut: python background.py QUESTION"""

import sys
import time

from openai import APIConnectionError, Omit, OpenAI, omit

client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
response = client.responses.create(input=sys.argv[1], background=True)

last: int | Omit = omit
ended = ""
while not ended:
    try:
        for event in client.responses.retrieve(response.id, stream=True, starting_after=last):
            last = event.sequence_number
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
            if event.type in {"response.completed", "response.incomplete", "response.failed"}:
                ended = event.type
            if event.sequence_number % 40 == 39:
                break  # As a network might cut the connection.
    except APIConnectionError:
        time.sleep(1)  # The network is down, or the server is being restarted.
print(f"\n{ended}")
