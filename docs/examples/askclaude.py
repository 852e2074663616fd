"""A client of Anthropic's API that asks sseserver: python askclaude.py"""

from anthropic import Anthropic

client = Anthropic(base_url="http://127.0.0.1:8000", api_key="none")
messages = [{"role": "user", "content": "Hello"}]
with client.messages.stream(model="sseserver", max_tokens=1000, messages=messages) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
