"""Raw tables: kinds of columns, experts for them, and mixtures made of these."""

from ._code import to_code
from ._dates import CalendarFeatures
from ._dropout import KindDropout
from ._experts import feature_experts
from ._frames import as_numbers, as_text
from ._kinds import ColumnKinds, column_kinds
from ._mixture import make_mixture
from ._numbers import NumberFeatures
from ._reliance import blank_columns, kind_reliance, kind_report
from ._statistics import RowStatistics

__all__ = [
    "CalendarFeatures",
    "ColumnKinds",
    "KindDropout",
    "NumberFeatures",
    "RowStatistics",
    "as_numbers",
    "as_text",
    "blank_columns",
    "column_kinds",
    "feature_experts",
    "kind_reliance",
    "kind_report",
    "make_mixture",
    "to_code",
]

# Files that hold them name this module, wherever the code is.
for _stored in (
    CalendarFeatures,
    ColumnKinds,
    KindDropout,
    NumberFeatures,
    RowStatistics,
    as_text,
):
    _stored.__module__ = __name__
