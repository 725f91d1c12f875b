"""Raw tables: kinds of columns, experts for them, and mixtures made of these."""

from ._code import to_code
from ._dates import CalendarFeatures
from ._experts import feature_experts
from ._frames import as_numbers, as_text
from ._kinds import ColumnKinds, column_kinds
from ._mixture import make_mixture

__all__ = [
    "CalendarFeatures",
    "ColumnKinds",
    "as_numbers",
    "as_text",
    "column_kinds",
    "feature_experts",
    "make_mixture",
    "to_code",
]
