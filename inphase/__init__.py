"""The science between detector counts and strain. Runs no server, knows no queue, no training."""
