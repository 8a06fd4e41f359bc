"""What can go wrong with reading in a process of its own. No HTTP here: service/errors.py maps them."""

from inphase.errors import DataError, InphaseError


class SandboxError(DataError):
    """The process that read the data crashed, or took too long:
    the data are damaged, hostile, or too much for the limits.
    """


class SandboxUnavailableError(InphaseError):
    """No process can be had that reads: the data may be innocent, and trying again later is right."""
