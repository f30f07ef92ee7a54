"""NetworkRegressor: a network as a scikit-learn regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from chainrule.estimators.base import NetworkEstimator
from chainrule.estimators.callbacks import with_callbacks
from chainrule.estimators.targets import NumberTarget, read_numbers
from chainrule.nn import get_loss

Array = np.ndarray[Any, Any]


class NetworkRegressor(RegressorMixin, NetworkEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network that predicts numbers, one or several a row, behind scikit-learn's face.

    y is learned in units of its own standard deviation, z = (y − mean)/std, under the mean squared error of z, and
    predictions are kept within the range of the training rows. X may hold texts and missing cells: see
    ``chainrule.table.TableEncoder``.

    Args:
        hidden_layer_sizes, …: as for ``NetworkClassifier``, which has one more, ``class_weight``.
        loss: a loss by name or of one's own; None is ``"squared_error"``. It is taken of z, not of y.

    Attributes:
        history_, n_iter_, loss_, run_, chosen_, …: as of ``NetworkClassifier``.

    Raises:
        TableError: X or y that cannot be used; TrainingError: settings that cannot be. Both are ValueErrors.

    Source: the encoding of X, the standardized y and its clamping are those of RealMLP, arXiv 2407.04491. Departure:
    small data is learned from all rows at a step, so that weights are exactly repetitions.

    >>> from chainrule import NetworkRegressor
    >>> X = [[0.1 * i, i % 2] for i in range(40)]
    >>> y = [x[0] ** 2 for x in X]
    >>> NetworkRegressor().fit(X, y).score(X, y) > 0.99
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> NetworkRegressor:
        """Train on rows X with numbers y, [n] or [n, outputs]; returns the estimator itself.

        Args:
            X: an array, list of rows, sparse matrix or table (pandas, polars, Arrow); missing cells and texts are fine.
            y: one number a row, or a matrix with a column an output.
            sample_weight: how much each row counts; a row of weight 0 is left out, whatever it holds.
            validation_data: ``(Xv, yv)`` or ``(Xv, yv, weights)``: rows that are only looked at, for early stopping.

        Raises:
            TableError: X or y that cannot be used; TrainingError: settings that cannot.
        """
        self._fit(X, y, sample_weight, validation_data)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkRegressor:
        """Go through these rows once more, from where the training stands; the optimizer's state is carried on.

        The first call decides how columns are encoded and in which unit y is learned; the range of predictions grows
        with the rows of later calls.
        """
        self._partial_fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> Array:
        """Return a prediction for each row, in y's unit and shape, within the range of the training rows."""
        raw = self._predicted(X)
        predicted: Array = self.target_.decode(raw)
        return predicted

    def _read_target(self, y: Any) -> Array:
        return read_numbers(y)

    def _fit_target(self, y: Array, weight: Array, classes: Any = None) -> NumberTarget:
        """A loss with a link of its own, such as the exponential, reads y as it is."""
        return NumberTarget.fit(y, weight, self.loss is None or get_loss(self.loss).link == "identity")
