"""A client of Ollama that asks sseserver, started with --ollama: python askollama.py"""

from ollama import Client

client = Client(host="http://127.0.0.1:8000/ollama")
messages = [{"role": "user", "content": "Hello"}]
for piece in client.chat(model="sseserver", messages=messages, stream=True):
    print(piece.message.content, end="", flush=True)
