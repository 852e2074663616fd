"""Answers a question, word by word: echo QUESTION | python answer.py"""

import sys
import time

question = sys.stdin.read().strip()
for word in f"You asked: {question} The answer takes its time, so that you can watch it.".split():
    print(word, end=" ", flush=True)
    time.sleep(0.2)
if "fail" in question:
    sys.exit(1)
