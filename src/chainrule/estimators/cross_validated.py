"""NetworkClassifierCV and NetworkRegressorCV: a whole regularization path, cross-validated, and its best point."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.constrain.along import checked_values, find_along
from chainrule.constrain.folds import Fold, checked_pair, cut_folds, require_classes
from chainrule.constrain.path import follow, make_plan
from chainrule.errors import TrainingError
from chainrule.estimators import settings
from chainrule.estimators.base import NetworkEstimator, Rows, _dtype
from chainrule.estimators.callbacks import with_callbacks
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.inputs import InputEncoder, column_names
from chainrule.estimators.regressor import NetworkRegressor
from chainrule.workflow.varied import with_varied

Array = np.ndarray[Any, Any]


class PathEstimator(NetworkEstimator):
    """What the two have in common: the path, its folds with encoders of their own, and what is left of it."""

    def _set_path(
        self, constraint: Any, penalty: Any, points: int, radii: Any, strengths: Any, cv: Any, rule: str
    ) -> None:
        self.constraint = constraint
        self.penalty = penalty
        self.points = points
        self.radii = radii
        self.strengths = strengths
        self.cv = cv
        self.rule = rule
        self.early_stopping, self.validation_fraction, self.patience, self.warm_start = False, 0.2, "auto", False

    @property
    def partial_fit(self) -> Any:
        """There is none: which limit is best is known when all rows are."""
        raise AttributeError(f"{type(self).__name__} has no partial_fit: a path needs all rows")

    def __getstate__(self) -> Any:
        """A path's runs hold the training rows: they stay here when the estimator goes elsewhere."""
        state = super().__getstate__()
        if "path_" in state:
            state["path_"] = replace(state["path_"], runs=())
        return state

    def _fit_path(self, x: Any, y: Any, sample_weight: Any) -> None:
        rows = self._rows(x, y, sample_weight, reset=True)
        chosen = self._chosen(len(rows))
        seed = settings.seed(self.random_state)
        is_linear = not settings.layers(chosen.hidden_layer_sizes) and self._is_auto("optimizer")
        dtype = np.float64 if is_linear else _dtype(chosen, len(rows))
        every = np.arange(len(rows))
        folds = [self._fold(rows, dtype, *pair) for pair in self._pairs(rows, x, y, sample_weight, seed)]
        (whole,) = self._encoded(rows, dtype, every, every)
        objective = with_varied(self._plain()._objective(chosen), self.constraint, self.penalty, whole[0])
        along = find_along(objective, self.radii, self.strengths, None)
        given = self.radii if along.is_set else self.strengths
        options: dict[str, Any] = {"executor": self.executor}
        if not is_linear:
            options |= {"epochs": chosen.epochs, "batch_size": chosen.batch_size}
            options["optimizer"] = settings.optimizer(self._plain(), chosen)
        plan = make_plan(
            objective, whole, along, None if given is None else checked_values(given, along), points=self.points,
            rule=self.rule, order="auto", warm_start=True, seed=seed, score="auto",
            names=self._names(whole[0].shape[1]), convex=False, options=options,
        )  # fmt: skip
        self.path_ = follow(plan, whole, folds, bool(self.verbose))
        self.run_ = self.path_.chosen
        for name, value in self._would_be(self.run_).items():
            setattr(self, name, value)
        self.chosen_ = chosen.to_dict()
        setattr(self, "radius_" if along.is_set else "strength_", self.path_.chosen_point.value)
        self.__dict__.pop("strength_" if along.is_set else "radius_", None)
        self.cv_results_ = self._results(along.is_set)
        self._tell(self.run_.history)

    def _chosen(self, rows: int) -> Any:
        """Return the settings in force: what regularizes besides the path is off, unless it is asked for."""
        found = settings.choices(self._plain(), rows, False)
        off: dict[str, Any] = {name: 0.0 for name in ("dropout", "weight_decay") if self._is_auto(name)}
        return replace(found, **off)

    def _is_auto(self, name: str) -> bool:
        return isinstance(value := getattr(self, name), str) and value == "auto"

    def _plain(self) -> Any:
        """Return an estimator of the same network without the path, whose optimizer is Adam where it is "auto"."""
        plain = type(self)(**self.get_params(deep=False))
        plain.constraint = plain.penalty = plain.method = None
        plain.optimizer = "adam" if self._is_auto("optimizer") else self.optimizer
        plain.target_ = getattr(self, "target_", None)
        return plain

    def _pairs(self, rows: Rows, x: Any, y: Any, sample_weight: Any, seed: int) -> list[tuple[Array, Array]]:
        """Return training and held-out rows of each fold, as numbers of the rows that count."""
        classes = None
        if self.target_kind_ == "classes" and rows.y.ndim == 1:
            classes = np.unique(rows.y, return_inverse=True)[1]
        if isinstance(self.cv, int | np.integer) or self.cv is None:
            pairs = cut_folds(len(rows), 5 if self.cv is None else int(self.cv), seed, classes)
        else:
            given = list(self.cv.split(x, y)) if hasattr(self.cv, "split") else list(self.cv)
            count = len(rows) if sample_weight is None else len(np.asarray(sample_weight))
            counts = np.ones(count, bool) if sample_weight is None else np.asarray(sample_weight) > 0
            place = np.cumsum(counts) - 1
            pairs = []
            for number, pair in enumerate(given, 1):
                both = checked_pair(tuple(pair), count, number)
                pairs.append(tuple(place[part[counts[part]]] for part in both))
            if len(pairs) < 2 or any(not len(part) for pair in pairs for part in pair):
                raise TrainingError("cv must have at least two parts, each with rows that count on both sides")
        for number, (training, _) in enumerate(pairs, 1):
            require_classes(classes, training, number)
        return pairs

    def _fold(self, rows: Rows, dtype: Any, training: Array, held: Array) -> Fold:
        """Return a fold; its encoders have seen its training rows alone."""
        a, b = self._encoded(rows, dtype, training, training, held)
        return Fold(a, b)

    def _encoded(self, rows: Rows, dtype: Any, training: Array, *places: Array) -> list[Any]:
        """Fit the encoders on some rows, and return parts of the rows as these encode them."""
        weight = rows.weight[training]
        whole = self.target_kind_ == "classes"  # which classes there are is no secret of a row
        self.target_ = self._fit_target(rows.y, rows.weight) if whole else self._fit_target(rows.y[training], weight)
        self.encoder_ = InputEncoder.fit(rows.x, column_names(self), training, weight)
        return self._parts(rows, dtype, *places)

    def _names(self, width: int) -> list[str] | None:
        """Return the names of the encoded columns, where each column of X is one of them."""
        found = self.encoder_.table.feature_names if self.encoder_.table is not None else list(self.encoder_.names)
        return found if len(found) == width else None

    def _results(self, is_set: bool) -> dict[str, Any]:
        points = self.path_.points
        found = {
            "radius" if is_set else "strength": np.array(self.path_.values),
            "loss": np.array([p.loss for p in points]),
            "mean_held_out_loss": np.array([p.held_out for p in points]),
            "standard_error": np.array([p.held_out_error for p in points]),
            "mean_score": np.array([p.score for p in points]),
            "nonzero": np.array([p.nonzero for p in points]),
            "level": np.array([p.level for p in points]),
        }
        for k in range(self.path_.folds):
            found[f"split{k}_held_out_loss"] = np.array([p.fold_losses[k] for p in points])
        return found


class NetworkClassifierCV(PathEstimator, NetworkClassifier):
    """A classifier whose regularization is chosen by cross-validation along a whole path of radii or λs.

    For each of many r (or λ), θ(r) = argmin F(θ) subject to R(θ) ≤ r, on all rows and on the training rows of each
    fold, whose encoders have seen these rows alone; then the r of the lowest held-out loss, or the strongest limit
    within one standard error of it. ``cr.constrain.regularization_path`` says more.

    Args:
        hidden_layer_sizes, activation, …: as of ``NetworkClassifier``. With ``hidden_layer_sizes=()`` the problem is
            convex, and solved to its minimum by ``AcceleratedProjection`` where the optimizer is "auto"; a network is
            trained by Adam. Dropout and weight decay are 0 where they are "auto".
        constraint: what is limited: ``"l2"`` (where nothing is given), ``"l1"``, ``"linf"``, ``"maxnorm"``, ``"group"``
            (the first layer's weights by input column), ``"l2 per layer"``; or a set of ``cr.constrain``.
        penalty: what costs, in the place of a limit: ``"l1"``, ``"l2"``, ``"group"``; or a penalty.
        points: how many radii or λs, where none are given.
        radii, strengths: the numbers themselves, sorted.
        cv: how many folds, a splitter, or pairs (training rows, held-out rows).
        rule: ``"best"``, or ``"one-standard-error"``.

    Attributes:
        path_: the ``RegularizationPath``; print it. ``radius_`` or ``strength_``: what was chosen.
        cv_results_: its columns as arrays.
        classes_, history_, n_iter_, parameters_, run_, …: of the run on all rows at that point.

    Raises:
        TableError: X or y that cannot be used; TrainingError: settings that cannot be. Both are ValueErrors.

    >>> from sklearn.datasets import load_iris
    >>> from chainrule import NetworkClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NetworkClassifierCV((), penalty="l1", points=5, cv=3, rule="one-standard-error").fit(X, y)
    >>> model.score(X, y) > 0.95, len(model.cv_results_["strength"])
    (True, 5)
    """

    target_kind_ = "classes"

    def __init__(
        self,
        hidden_layer_sizes: Any = "auto",
        activation: Any = "relu",
        *,
        constraint: Any = None,
        penalty: Any = None,
        points: int = 20,
        radii: Any = None,
        strengths: Any = None,
        cv: Any = 5,
        rule: str = "best",
        loss: Any = None,
        optimizer: Any = "auto",
        learning_rate: Any = "auto",
        schedule: str = "auto",
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        dropout: float | str = "auto",
        weight_decay: float | str = "auto",
        class_weight: Any = None,
        random_state: Any = 0,
        verbose: int = 0,
        executor: str = "native",
    ) -> None:
        NetworkClassifier.__init__(
            self, hidden_layer_sizes, activation, loss=loss, optimizer=optimizer, learning_rate=learning_rate,
            schedule=schedule, epochs=epochs, batch_size=batch_size, dropout=dropout, weight_decay=weight_decay,
            class_weight=class_weight, random_state=random_state, verbose=verbose, executor=executor,
        )  # fmt: skip
        self._set_path(constraint, penalty, points, radii, strengths, cv, rule)

    @with_callbacks
    def fit(  # type: ignore[override]  # folds are held out: there is no validation_data
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> NetworkClassifierCV:
        """Solve the path on rows X with classes y, choose a point, and keep its run on all rows.

        Raises:
            TableError: X or y that cannot be used; TrainingError: settings, or folds, that cannot.
        """
        self._fit_path(X, y, sample_weight)
        return self


class NetworkRegressorCV(PathEstimator, NetworkRegressor):
    """A regressor whose regularization is chosen by cross-validation along a whole path of radii or λs.

    As ``NetworkClassifierCV``, with y in units of its standard deviation over the training rows of each fold.

    Args:
        hidden_layer_sizes, constraint, penalty, points, radii, strengths, cv, rule, …: as of ``NetworkClassifierCV``.

    Attributes:
        path_, radius_ or strength_, cv_results_, …: as of ``NetworkClassifierCV``.

    Raises:
        TableError: X or y that cannot be used; TrainingError: settings that cannot be. Both are ValueErrors.

    >>> from sklearn.datasets import load_diabetes
    >>> from chainrule import NetworkRegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NetworkRegressorCV((), constraint="l1", points=8, rule="one-standard-error").fit(X, y)
    >>> model.path_.input_names(model.path_.chosen_point)
    ['x1', 'x2', 'x3', 'x4', 'x6', 'x8', 'x9']
    """

    target_kind_ = "numbers"

    def __init__(
        self,
        hidden_layer_sizes: Any = "auto",
        activation: Any = "relu",
        *,
        constraint: Any = None,
        penalty: Any = None,
        points: int = 20,
        radii: Any = None,
        strengths: Any = None,
        cv: Any = 5,
        rule: str = "best",
        loss: Any = None,
        optimizer: Any = "auto",
        learning_rate: Any = "auto",
        schedule: str = "auto",
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        dropout: float | str = "auto",
        weight_decay: float | str = "auto",
        random_state: Any = 0,
        verbose: int = 0,
        executor: str = "native",
    ) -> None:
        NetworkRegressor.__init__(
            self, hidden_layer_sizes, activation, loss=loss, optimizer=optimizer, learning_rate=learning_rate,
            schedule=schedule, epochs=epochs, batch_size=batch_size, dropout=dropout, weight_decay=weight_decay,
            random_state=random_state, verbose=verbose, executor=executor,
        )  # fmt: skip
        self._set_path(constraint, penalty, points, radii, strengths, cv, rule)

    @with_callbacks
    def fit(  # type: ignore[override]  # folds are held out: there is no validation_data
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> NetworkRegressorCV:
        """Solve the path on rows X with numbers y, choose a point, and keep its run on all rows.

        Raises:
            TableError: X or y that cannot be used; TrainingError: settings, or folds, that cannot.
        """
        self._fit_path(X, y, sample_weight)
        return self
