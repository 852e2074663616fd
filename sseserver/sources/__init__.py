"""Token sources. They know nothing of logs, stores or the web."""
