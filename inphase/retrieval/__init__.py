"""Iterative phase retrieval. Importing this package, `recipe`, `problem` or `starts` loads no torch; `engine` does."""
