"""The exception tree of chainrule.

ChainruleError
├── GraphError              a graph that is not well formed (a bug in a pass, or a hand-made graph)
│   └── GraphFormatError    a stored graph that cannot be read: foreign, newer, damaged
├── TraceError              a Python function that cannot become a graph
│   ├── TypeMismatch        operands whose shapes or dtypes do not fit an operation
│   └── NotDifferentiable   a derivative asked for where there is none
├── ExecutionError          a graph that could not be run on the given arrays
├── TrainingError           a training run that cannot start or go on (settings, data, divergence)
├── TableError              a table that cannot be used: which file, row and column, and what to do
│   └── CellTypeError       a cell that is neither a number, a text, a truth value nor a date
└── ModelFileError          a model file that is damaged, foreign, changed or newer than this version

Every message says what was wrong, where, and what to do. Command-line code prints the message alone; a traceback is
for ``--debug``.
"""

from __future__ import annotations


class ChainruleError(Exception):
    """The root of every error that chainrule raises on purpose."""


class GraphError(ChainruleError):
    """A graph that is not well formed."""


class GraphFormatError(GraphError):
    """A stored graph that cannot be read."""


class TraceError(ChainruleError, TypeError):
    """A Python function that cannot become a graph."""


class TypeMismatch(TraceError):
    """Operands whose shapes or dtypes do not fit an operation."""


class NotDifferentiable(TraceError):
    """A derivative asked for where there is none."""


class ExecutionError(ChainruleError, ValueError):
    """A graph that could not be run on the given arrays."""


class TrainingError(ChainruleError, ValueError):
    """A training run that cannot start or go on."""


class TableError(ChainruleError, ValueError):
    """A table that cannot be used."""


class CellTypeError(TableError, TypeError):
    """A cell that is neither a number, a text, a truth value nor a date."""


class ModelFileError(ChainruleError, ValueError):
    """A model file that cannot be trusted or read."""
