"""The HTTP API, its Python client, and the command `relearn`."""
