"""The native API, `/streams`: start a run or publish, follow a stream, cancel or delete it."""
