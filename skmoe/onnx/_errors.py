"""What can go wrong when a mixture becomes a graph."""


class ConversionError(ValueError):
    """A part of the mixture has no form in ONNX; the message names it and says what to do."""


class ReplayError(ValueError):
    """The graph says something else than the mixture said."""
