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
    """DOC"""

    def __init__(
        self,
        hidden_layer_sizes: Any = "auto",
        activation: Any = "relu",
        *,
        loss: Any = None,
        optimizer: Any = "adam",
        learning_rate: Any = "auto",
        schedule: str = "auto",
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        dropout: float | str = "auto",
        weight_decay: float | str = "auto",
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        patience: int | str = "auto",
        random_state: Any = 0,
        warm_start: bool = False,
        verbose: int = 0,
        executor: str = "native",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.executor = executor

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
