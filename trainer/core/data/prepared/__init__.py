"""Data sets that are prepared once from what their authors distribute, into a cache that opens in milliseconds."""
