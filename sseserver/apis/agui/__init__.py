"""The API of AG-UI, `/agui`."""
