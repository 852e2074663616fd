"""Publishes a text into a new stream, word by word: python publish.py http://127.0.0.1:8000/streams/news"""

import json
import sys
from urllib.request import Request, urlopen

stream = sys.argv[1]
urlopen(Request(stream, method="PUT")).close()
for word in ["Published", "word", "by", "word."]:
    entries = json.dumps([{"token": f"{word} "}]).encode()
    urlopen(Request(stream, entries, {"Content-Type": "application/json"})).close()
urlopen(Request(stream, b"", {"Stream-Closed": "true"}, method="POST")).close()
