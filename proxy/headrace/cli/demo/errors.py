"""The one error of this package; its text says what to do."""


class NodeError(RuntimeError):
    """The node cannot be fetched or started."""
