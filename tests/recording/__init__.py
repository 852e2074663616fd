"""
A recording of HTTP: requests to every resource of the server, and what each of them was answered.

`answers.json` holds the answers of an earlier version. `tests/test_recording.py` compares the
present version with them: a change inside must not show in HTTP. After a change of an answer that
is meant, record anew and read the diff:

    python -m tests.recording

Parts of an answer that differ from run to run, or that are for people, are replaced by placeholders
in angle brackets: epochs, dates, jittered reconnection times, error messages, the contents of the
page.
"""
