"""The error that all readers raise."""


class DataError(ValueError):
    """Data that cannot be used as they are. The message names the place of the fault and how to correct it."""
