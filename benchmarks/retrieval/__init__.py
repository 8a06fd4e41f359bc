"""Phase retrieval against cohere-core: speed against the floor of two FFTs, and how often random starts succeed."""
