"""From a stream log to a socket."""
