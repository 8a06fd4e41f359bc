"""What can be wrong with the data or the request, said so that a person can act on it.
No HTTP here: service/errors.py maps them.
"""


class InphaseError(Exception):
    """Root of every error that inphase raises on purpose. The message says what is wrong, where, and what to do."""


class DataError(InphaseError):
    """The measurement cannot be used: truncated, wrong dimensions, NaN, empty, negative, missing frame."""


class TooLargeError(DataError):
    """The declared size of the data is above the configured bound; nothing was allocated."""


class RecipeError(InphaseError):
    """A preprocessing or retrieval recipe cannot be understood."""


class CancelledError(InphaseError):
    """The caller asked to stop; nothing was produced."""
