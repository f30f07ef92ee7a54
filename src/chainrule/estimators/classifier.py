"""NetworkClassifier: a network as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from chainrule.errors import TableError
from chainrule.estimators.base import NetworkEstimator
from chainrule.estimators.callbacks import with_callbacks
from chainrule.estimators.settings import NUMBER
from chainrule.estimators.targets import ClassTarget, read_labels
from chainrule.learn.data import in_units_of_largest
from chainrule.table.say import listing, say

Array = np.ndarray[Any, Any]


class NetworkClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network that predicts classes, or several labels a row, behind scikit-learn's face.

    p(class) = softmax(a(x; θ)), or σ for two classes and for labels; θ makes the mean cross-entropy small. X may hold
    texts and missing cells: see ``chainrule.table.TableEncoder``. Each setting that is "auto" becomes what
    docs/estimators.md says, by the number of rows; ``chosen_`` has the values in force.

    Args:
        hidden_layer_sizes: units of the hidden layers, ``(64, 32)``; a layer of ``cr.nn``, or layers among the sizes,
            are taken as they are. The output layer is added.
        activation: of the hidden layers: a name of ``cr.nn.ACTIVATIONS``, or a function.
        loss: a name of ``cr.nn.LOSSES``, or a function ``loss(target, output)``; None is the cross-entropy.
        optimizer: a name of ``cr.learn.OPTIMIZERS``, or an object with settings of its own.
        learning_rate: η, or a schedule of ``cr.learn``.
        schedule: a name of ``cr.learn.SCHEDULES``.
        epochs: how often every row is used, at most.
        batch_size: rows for each step, or ``"all"``.
        dropout: the share of hidden values that are 0 in each step.
        weight_decay: decoupled, as in AdamW: θ shrinks by η · weight_decay · θ in each step. That is no penalty of the
            objective: beside a constraint or a penalty, "auto" is 0.
        constraint: what the weights may be: a text such as ``"l2<=4"`` (the radius r of ‖w‖ ≤ r), ``"l1<=3 per layer"``
            or ``"maxnorm<=2, nonnegative"``, a set of ``cr.constrain``, or a list of them; see
            ``cr.constrain.sets_of``.
        penalty: what the weights cost: ``"0.001*l1"``, ``"0.01*l2"`` (0.01·Σ w², no ½), ``"0.01*group"``, sums of
            them, a penalty of ``cr.constrain``, or a list; see ``cr.constrain.penalties_of``.
        method: how a constraint is kept: None or ``"projection"`` after each step, ``"lagrangian"`` or ``"augmented"``
            by multipliers, or an object such as ``cr.constrain.Lagrangian(0.01)``.
        early_stopping: whether the parameters of the epoch with the lowest validation loss are kept.
        validation_fraction: the share of rows that are then set aside, unless ``fit`` is given ``validation_data``.
        patience: the training ends when the validation loss has not fallen for so many epochs.
        class_weight: a weight for each class, ``{"rare": 10}``, or ``"balanced"``.
        random_state: a seed (same seed, same bits), a RandomState, or None for another training each time.
        warm_start: whether ``fit`` goes on from the parameters of the last one.
        verbose: 1 shows a live bar.
        executor: ``"native"``, or ``"reference"`` for plain NumPy.

    Attributes:
        classes_: the classes, sorted.
        history_: one entry an epoch: loss, validation_loss, learning_rate, …
        n_iter_: the epochs that were run; ``best_epoch_`` the one whose parameters were kept, if one was chosen.
        loss_: the training loss of the last epoch; ``best_validation_loss_`` the lowest validation loss, if any.
        parameters_: the network's parameters by name.
        constraint_values_: what each set of ``constraint`` comes to, whether it holds, and by how much: ``value``,
            ``limit``, ``holds``; ``multipliers_`` are those of ``method``. ``cr.optimality(estimator.run_)`` says what
            may be claimed of the result.
        chosen_: every setting that may be "auto", with the value in force; None for the learning rate, schedule and
            weight decay of an optimizer that has its own (an object) or none (``"lbfgs"``).
        run_: the training run, for ``cr.explain`` and ``cr.diagnose``; no part of a copy or pickle.

    Raises:
        TableError: X or y that cannot be used; TrainingError: settings that cannot be. Both are ValueErrors.

    Source: the encoding of X is that of RealMLP, arXiv 2407.04491. Departures: one-hot categories, no embeddings, and
    defaults that go by the number of rows; small data is learned from all rows at a step, so that weights are exactly
    repetitions.

    >>> from sklearn.datasets import load_iris
    >>> from chainrule import NetworkClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NetworkClassifier().fit(X, y)
    >>> model.score(X, y) > 0.95, model.n_iter_, model.chosen_["hidden_layer_sizes"]
    (True, 300, (64,))
    """

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
        constraint: Any = None,
        penalty: Any = None,
        method: Any = None,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        patience: int | str = "auto",
        class_weight: Any = None,
        random_state: Any = 0,
        warm_start: bool = False,
        verbose: int = 0,
        executor: str = "native",
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            loss=loss,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            epochs=epochs,
            batch_size=batch_size,
            dropout=dropout,
            weight_decay=weight_decay,
            constraint=constraint,
            penalty=penalty,
            method=method,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            executor=executor,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> NetworkClassifier:
        """Train on rows X with classes y (or 0/1 columns, a label each); returns the estimator itself.

        Args:
            X: an array, list of rows, sparse matrix or table (pandas, polars, Arrow); missing cells and texts are fine.
            y: one class a row, of any kind that can be sorted; or a matrix of 0 and 1 with a column a label.
            sample_weight: how much each row counts; a row of weight 0 is left out, whatever it holds.
            validation_data: ``(Xv, yv)`` or ``(Xv, yv, weights)``: rows that are only looked at, for early stopping.

        Raises:
            TableError: X or y that cannot be used; TrainingError: settings that cannot.
        """
        self._fit(X, y, sample_weight, validation_data)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NetworkClassifier:
        """Go through these rows once more, from where the training stands; the optimizer's state is carried on.

        The first call decides how columns are encoded, and ``classes`` names the classes that later calls may bring
        (those of the first rows if it is None).
        """
        self._partial_fit(X, y, sample_weight, classes)
        return self

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row, or 0/1 labels."""
        raw = self._predicted(X)
        decoded: Array = self.target_.decode(raw)
        return decoded

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities, [n, classes] in the order of ``classes_``; of labels, each by itself."""
        raw = self._predicted(X)
        probabilities: Array = self.target_.probabilities(raw)
        return probabilities

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities; they stay finite where the loss is a cross-entropy."""
        return self._log_probabilities(X)[0]

    def decision_function(self, X: Any) -> Array:
        """Return log p − log(1 − p) for two classes, [n], and for labels; for more classes log p, [n, classes]."""
        yes, no = self._log_probabilities(X)
        if self.target_.kind == "multiclass":
            return yes
        return yes - no if self.target_.kind == "multilabel" else yes[:, 1] - yes[:, 0]

    def _log_probabilities(self, x: Any) -> tuple[Array, Array]:
        """Return log p and log(1 − p), a column a class or label; for more than two classes only the first is right."""
        check_is_fitted(self, "predictor_")
        head = self._head()
        if head.activation != "identity":
            p = self.predict_proba(x)
            with np.errstate(divide="ignore"):
                return np.log(p), np.log1p(-p)
        z = np.asarray(self._predicted(x, output=True), np.float64)
        if head.units > 1 and self.target_.kind != "multilabel":
            z = z - z.max(axis=1, keepdims=True)
            logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
            return logs, logs[:, ::-1]
        yes, no = -np.logaddexp(0.0, -z), -np.logaddexp(0.0, z)
        return (yes, no) if self.target_.kind == "multilabel" else (np.hstack([no, yes]), np.hstack([yes, no]))

    def _read_target(self, y: Any) -> Array:
        return read_labels(y)

    def _fit_target(self, y: Array, weight: Array, classes: Any = None) -> ClassTarget:
        return ClassTarget.fit(y, classes)

    def _class_weights(self, y: Array, weight: Array) -> Array:
        """Return the rows' weights times those of their classes; "balanced" is W/(classes · W of the class)."""
        if self.class_weight is None:
            return weight
        if isinstance(self.class_weight, str) and self.class_weight == "balanced" and y.ndim == 1:
            codes = self.target_.encode(y)
            totals = np.bincount(codes, weights=weight, minlength=self.target_.outputs)
            known = totals > 0
            each = np.zeros(len(totals))
            each[known] = weight.sum() / (known.sum() * totals[known])
            balanced: Array = weight * each[codes]
            return balanced
        of_class = self._of_each_class(y)
        if of_class.max() * weight.max() >= 2**53:  # only the ratios count, and their product must not overflow
            of_class, weight = in_units_of_largest(of_class), in_units_of_largest(weight)
        return np.asarray(weight * of_class)

    def _of_each_class(self, y: Array) -> Array:
        """Return for each row the weight of its class; a class without one has 1.

        Raises:
            TableError: a weight that is no finite number of at least 0, or a class that there is not.
        """
        given = self.class_weight
        if not isinstance(given, Mapping) or y.ndim != 1:
            try:
                return np.asarray(compute_sample_weight(given, y))
            except (ValueError, TypeError) as error:
                raise TableError(f"class_weight: {error}") from None
        classes = self.target_.classes.tolist()
        for label, value in given.items():
            if isinstance(value, bool) or not isinstance(value, NUMBER) or not 0 <= value < np.inf:
                raise TableError(
                    f"class_weight[{say(label)}] is {say(value)}; a class's weight is a finite number of at least 0"
                )
            if label not in classes:
                raise TableError(
                    f"class_weight has the class {say(label)}, which y has not; the classes are {listing(classes, 20)}"
                )
        each = np.array([given.get(label, 1.0) for label in classes], np.float64)
        if not each.any():
            raise TableError("class_weight is 0 for every class; at least one class must count")
        return np.asarray(each[self.target_.encode(y)])
