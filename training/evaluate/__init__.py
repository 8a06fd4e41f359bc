"""The report of exported networks: the same held-out crystals and real measurements for all, by `inphase.imaging`.

The service takes the same way (docs/decisions/0020): what is measured is what is served.
"""
