"""A pandas frame that prints all of its columns; imported only where pandas is needed."""

from pandas import DataFrame, option_context


class WideFrame(DataFrame):
    """A frame whose columns go on in further lines where one line is too short for them.

    Frames of pandas leave out those in the middle, which in a report are the errors.
    """

    @property
    def _constructor(self):
        return WideFrame

    def __repr__(self):
        with option_context("display.max_columns", None, "display.max_colwidth", None):
            return super().__repr__()
