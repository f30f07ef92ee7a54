"""Tables to arrays: reading, column types, missing values, categories and scaling, fitted on training rows only."""

from chainrule.table.encode import TableEncoder
from chainrule.table.findings import Finding
from chainrule.table.frame import as_column, as_frame, select_target
from chainrule.table.inspection import ColumnSummary, Inspection, inspect_table
from chainrule.table.matrix import MatrixEncoder
from chainrule.table.read import read_table
from chainrule.table.target import TargetEncoder, missing_labels
from chainrule.table.task import Task, infer_task

__all__ = [
    "ColumnSummary",
    "Finding",
    "Inspection",
    "MatrixEncoder",
    "TableEncoder",
    "TargetEncoder",
    "Task",
    "as_column",
    "as_frame",
    "infer_task",
    "inspect_table",
    "missing_labels",
    "read_table",
    "select_target",
]
