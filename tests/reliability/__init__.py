"""
A run in Jepsen's manner: two real servers and a real Redis with a replica, many clients, and a nemesis that breaks
connections, processes and data. Everything is written into a journal, which a checker reads that knows nothing of
sseserver.
"""
