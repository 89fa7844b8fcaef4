"""One script per claim of speed: A and B interleaved in one run, a table, and one line of JSON at the end."""
