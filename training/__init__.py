"""The offline workshop: simulated data, networks, losses, fitting, export, evaluation.
Its product is a model repository.
"""
