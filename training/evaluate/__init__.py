"""The report of exported networks: the same held-out crystals and real measurements for all,
through the service's own pipeline.

The one part of `training` that imports `service` (docs/decisions/0020): what is measured is what is served.
"""
