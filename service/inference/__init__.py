"""Who asks a network when: orders of all requests in one line, computed alone or together, each with its own answer."""
