"""How often a result is right, and how well the trust in it says so: simulated measurements of kinds that no network
was trained on, reconstructed the library's way.
"""
