"""Trained networks: what a card says of one, the repository that holds them, the sessions that run them."""
