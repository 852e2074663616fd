"""The page: a chat in the browser at `/`, its files below `/assets`, and a run for each visitor."""
