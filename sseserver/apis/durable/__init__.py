"""The API of Durable Streams' readers, `/durable/NAME`."""
