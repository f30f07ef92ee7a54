"""NetworkClassifierCV and NetworkRegressorCV: scikit-learn's checks, what they leave behind, and no leakage."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import Lasso
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule as cr
from chainrule import NetworkClassifierCV, NetworkRegressorCV
from chainrule import constrain as ct
from chainrule.errors import TableError, TrainingError

SMALL = [
    NetworkClassifierCV((), radii=[0.5, 3.0], cv=2),
    NetworkRegressorCV((4,), constraint="l1", radii=[1.0, 9.0], cv=2, epochs=60, learning_rate=0.05),
]


@parametrize_with_checks(SMALL)
def test_check(estimator: Any, check: Any) -> None:
    if "array_api" in getattr(check.func, "__name__", ""):
        pytest.skip("needs SciPy's array API switched on, which this process has not")
    check(estimator)


def test_the_held_out_losses_are_those_of_scikit_learns_lasso() -> None:
    """λ by λ and fold by fold, on what each fold's own encoders make of its rows."""
    x, y = load_diabetes(return_X_y=True)
    folds = list(KFold(5, shuffle=True, random_state=0).split(x))
    strengths = np.geomspace(0.5, 0.01, 5)
    model = NetworkRegressorCV((), penalty="l1", strengths=strengths, cv=folds, loss="half_squared_error").fit(x, y)
    rows = model._rows(x, y, None, reset=True)
    for k, pair in enumerate(folds):
        (xt, yt, _), (xh, yh, _) = (lambda fold: (fold.training, fold.held_out))(model._fold(rows, np.float64, *pair))
        for found, strength in zip(model.cv_results_[f"split{k}_held_out_loss"], strengths, strict=True):
            lasso = Lasso(strength, tol=1e-10, max_iter=100_000).fit(xt, yt.ravel())
            assert 0.5 * np.mean((lasso.predict(xh) - yh.ravel()) ** 2) == pytest.approx(found, rel=1e-4)
    assert model.strength_ in strengths
    assert set(model.cv_results_["level"]) == {"ε-optimal"}


def test_what_is_left_behind() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    model = NetworkClassifierCV((), constraint="group", radii=[0.3, 1.0, 3.0], cv=2, rule="one-standard-error").fit(
        x, y
    )
    assert model.radius_ == model.path_.chosen_point.value
    assert not hasattr(model, "strength_")
    assert len(model.cv_results_["radius"]) == 3
    assert model.path_.runs[model.path_.chosen_index] is model.run_
    assert 0 < len(model.path_.chosen_point.inputs) < 30
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(x), model.predict_proba(x))
    assert str(copy.path_) == str(model.path_)
    with pytest.raises(TrainingError, match="no part of a copy"):
        copy.path_.chosen  # noqa: B018
    again = clone(model).fit(x, y)
    assert again.radius_ == model.radius_
    assert cr.optimality(model.run_).level == "ε-optimal"
    model.set_params(constraint=None, penalty="l1", radii=None, strengths=[0.1, 0.01]).fit(x, y)
    assert model.strength_ > 0
    assert not hasattr(model, "radius_")


def test_in_a_pipeline_and_with_splitters() -> None:
    x, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), NetworkClassifierCV((), radii=[0.5, 3.0], cv=StratifiedKFold(3)))
    assert cross_val_score(model, x, y, cv=3).mean() > 0.85


def test_tables_with_texts_are_encoded_in_each_fold() -> None:
    """A category that only held-out rows have is unknown there: no column of the fold's network is for it."""
    polars = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    kinds = np.array(["a", "b"])[rng.integers(0, 2, 40)].astype(object)
    kinds[:3] = "rare"
    frame = polars.DataFrame({"kind": kinds.tolist(), "x": rng.normal(size=40)})
    y = rng.normal(size=40) + 2.0 * (kinds == "b")
    folds = [(np.arange(20, 40), np.arange(20)), (np.arange(20), np.arange(20, 40))]
    model = NetworkRegressorCV((), constraint="l2", radii=[0.2, 1.0], cv=folds).fit(frame, y)
    assert np.isfinite(model.cv_results_["mean_held_out_loss"]).all()


def test_held_out_rows_are_not_seen_by_the_encoders() -> None:
    """A target and a column that are huge in one fold's held-out rows change nothing of what that fold learns."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    held = np.arange(10)
    folds = [(np.arange(10, 30), held), (np.arange(20), np.arange(20, 30))]
    learned = []
    for scale in (1.0, 1e6):
        x2, y2 = x.copy(), y.copy()
        x2[held, 0] *= scale
        y2[held] *= scale
        model = NetworkRegressorCV((), constraint="l2", radii=[0.5, 1.0], cv=folds)
        rows = model._rows(x2, y2, None, reset=True)
        fold = model._fold(rows, np.float64, *folds[0])
        learned.append(fold.training)
    for a, b in zip(*learned, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("parameters", "message"), [
    ({"constraint": "l2", "penalty": "l1"}, "give a constraint or a penalty"),
    ({"constraint": "l2<=4"}, "the path finds its number"),
    ({"penalty": "0.1*l1"}, "the path finds its number"),
    ({"constraint": "nonnegative"}, "has no radius"),
    ({"constraint": "l3"}, "the path finds its number|there is no constraint"),
    ({"penalty": "linf"}, "is a set and no penalty|there is no penalty"),
    ({"radii": [2.0, 1.0, 1.5]}, "not sorted"),
    ({"radii": [-1.0, 1.0]}, "greater than 0"),
    ({"strengths": [1.0, 2.0]}, "give radii"),
    ({"cv": 1}, "at least 2"),
    ({"cv": 500}, "500 and there are 150 rows"),
    ({"rule": "worst"}, "rule is 'worst'"),
    ({"points": 1}, "at least 2"),
], ids=str)  # fmt: skip
def test_errors(parameters: dict[str, Any], message: str) -> None:
    x, y = load_iris(return_X_y=True)
    with pytest.raises(TrainingError, match=message):
        NetworkClassifierCV((), **parameters).fit(x, y)


def test_a_class_that_a_fold_cannot_learn() -> None:
    x, y = load_iris(return_X_y=True)
    folds = [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(50))]
    with pytest.raises(TrainingError, match="fold 1: the class 2 is in no training row"):
        NetworkClassifierCV((), points=2, cv=folds).fit(x, y)
    y = y.copy()
    y[0] = 7  # the only one of its class: it trains in every fold
    assert 7 in NetworkClassifierCV((), radii=[0.5, 3.0], cv=3).fit(x, y).classes_
    with pytest.raises(TableError):
        NetworkClassifierCV(()).fit(x, None)


def test_a_set_of_ones_own_choice() -> None:
    x, y = load_iris(return_X_y=True)
    chosen = ct.GroupL2Ball(1.0, parameters=["hidden1.weight"])
    model = NetworkClassifierCV((8,), constraint=chosen, points=3, cv=2, epochs=30).fit(x, y)
    assert str(model.run_.objective.subject_to[0]).startswith("GroupL2Ball")
    assert not hasattr(model, "partial_fit")
