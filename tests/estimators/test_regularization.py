"""Estimators with constraints and penalties: what is kept, what is refused, and scikit-learn's own checks."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule as cr
from chainrule import NetworkClassifier, NetworkRegressor
from chainrule import constrain as ct
from chainrule.errors import TrainingError
from chainrule.graph import flatten

X, Y = load_breast_cancer(return_X_y=True)
XD, YD = load_diabetes(return_X_y=True)


@parametrize_with_checks([
    NetworkClassifier(constraint="l2<=2 per layer", penalty="0.001*l1", epochs=60),
    NetworkRegressor(constraint="linf<=1", method="lagrangian", epochs=60),
])  # fmt: skip
def test_check(estimator: Any, check: Any) -> None:
    if "array_api" in getattr(check.func, "__name__", ""):
        pytest.skip("it runs in test_checks.py, in a process that has SciPy's array API switched on")
    check(estimator)


def weights(model: Any) -> Any:
    return np.concatenate([v.ravel() for k, v in model.parameters_.items() if k.endswith("weight")])


def bits(model: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(model.parameters_)[0]]


@pytest.mark.parametrize("executor", ["native", "reference"])
@pytest.mark.parametrize(
    ("constraint", "optimizer"),
    [
        ("l2<=2", "adam"), ("l1<=8", "adam"), ("linf<=0.1", "adam"), ("maxnorm<=0.3", "momentum"), ("group<=3", "adam"),
        ("box<=0.2", "rmsprop"), ("nonnegative", "adam"), ("cardinality<=40", "adam"), ("spectral<=1", "sgd"),
        ("nuclear<=3", "sgd"), ("l2<=2 per unit, -0.5<=w<=0.25", "adam"), (ct.L2Ball(2.0), "adam"),
        ([ct.L2Ball(2.0), "l1<=20"], "adam"), (ct.L2Ball(2.0) & ct.NonNegative(), "adam"),
    ],
    ids=str,
)  # fmt: skip
def test_a_constraint_is_kept(constraint: Any, optimizer: str, executor: str) -> None:
    epochs = 60 if executor == "native" else 5
    options: dict[str, Any] = {"optimizer": optimizer, "epochs": epochs, "executor": executor}
    model = NetworkClassifier((16,), constraint=constraint, **options).fit(X, Y)
    free = NetworkClassifier((16,), **options).fit(X, Y)
    assert bits(free) != bits(model)
    assert model.constraint_values_
    assert all(value.holds for value in model.constraint_values_), list(map(str, model.constraint_values_))
    assert cr.optimality(model.run_).level != "infeasible"


def test_the_number_is_the_radius() -> None:
    model = NetworkClassifier(constraint="l2<=4", epochs=100).fit(X, Y)
    length = float(np.sqrt(np.sum(weights(model) ** 2)))
    assert length <= 4.0
    assert length == pytest.approx(4.0, abs=1e-9)
    (found,) = model.constraint_values_
    assert (found.value, found.limit, found.holds) == (pytest.approx(length, rel=1e-12), 4.0, True)


def test_a_penalty_has_its_lambda_and_no_half() -> None:
    for text, penalty in (("0.01*l2", 0.01 * ct.SquaredL2()), ("0.002*l1 + 0.001*l2", [0.002 * ct.L1(), "0.001*l2"])):
        one, other = (NetworkRegressor((8,), penalty=p, epochs=50).fit(XD, YD) for p in (text, penalty))
        assert bits(one) == bits(other)
    found = cr.optimality(NetworkRegressor((), penalty="0.01*l2", epochs=2000).fit(XD, YD).run_)
    w = NetworkRegressor((), penalty="0.01*l2", epochs=2000).fit(XD, YD)
    assert found.value - found.data_loss == pytest.approx(0.01 * np.sum(weights(w) ** 2), rel=1e-9)
    assert found.level == "ε-optimal"


def test_a_group_penalty_leaves_inputs_out() -> None:
    noise = np.random.default_rng(0).normal(size=(len(X), 20))
    model = NetworkClassifier((16,), penalty="0.04*group").fit(np.hstack([X, noise]), Y)
    used = np.linalg.norm(model.parameters_["hidden1.weight"], axis=1) > 0
    assert not used[30:].any()
    assert used[:30].any()
    assert model.score(np.hstack([X, noise]), Y) > 0.93


@pytest.mark.parametrize("method", ["lagrangian", "augmented"])
@pytest.mark.parametrize("constraint", ["l2<=1", "l2<=4", "linf<=0.1", "maxnorm<=0.5", "l1<=50"])
def test_multipliers_hold_limits_of_any_unit(constraint: str, method: str) -> None:
    """Trained by multipliers that go by the limit's size: near the limit, and not far behind projection."""
    model = NetworkClassifier(constraint=constraint, method=method).fit(X, Y)
    hard = NetworkClassifier(constraint=constraint).fit(X, Y)
    (found,) = model.constraint_values_
    assert found.value == pytest.approx(found.limit, rel=0.02)
    assert model.loss_ < hard.loss_ + 0.05
    (multiplier,) = model.multipliers_.values()
    assert np.sum(list(multiplier.values()) if isinstance(multiplier, dict) else multiplier) > 0
    assert cr.optimality(model.run_).trained == dict(model.run_.multipliers)


def test_a_limit_that_does_not_bind_ends_at_0_exactly() -> None:
    model = NetworkClassifier((16,), constraint="l2<=1000", method="lagrangian", epochs=50).fit(X, Y)
    assert model.multipliers_ == {"L2Ball(1000)": 0.0}
    free = NetworkClassifier((16,), epochs=50, weight_decay=0.0).fit(X, Y)
    np.testing.assert_allclose(weights(model), weights(free), rtol=1e-9)


def test_weight_decay_is_off_beside_a_constraint_or_a_penalty_unless_it_is_asked_for() -> None:
    assert NetworkClassifier(epochs=2).fit(X, Y).chosen_["weight_decay"] == 1.0
    for given in ({"constraint": "l2<=2"}, {"penalty": "0.1*l2"}):
        model = NetworkClassifier(epochs=2, **given).fit(X, Y)
        assert model.chosen_["weight_decay"] == 0.0
        assert type(model.run_.optimizer) is cr.learn.Adam
        asked = NetworkClassifier(epochs=2, weight_decay=0.5, **given).fit(X, Y)
        assert asked.chosen_["weight_decay"] == 0.5
        assert isinstance(asked.run_.optimizer, cr.learn.AdamW)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"constraint": "l3<=2"}, "there is no constraint 'l3'"),
        ({"constraint": "l2"}, "has no limit that is a number; write 'l2<=4'"),
        ({"constraint": 4}, "constraint is 4; give a text such as 'l2<=4'"),
        ({"penalty": "l1"}, "write '0.001*l1'"),
        ({"penalty": "l2<=4"}, "is a constraint, not a penalty"),
        ({"constraint": "0.1*l1"}, "is a penalty"),
        ({"constraint": "l2<=2", "optimizer": "lbfgs"}, "cannot be kept by LBFGS"),
        ({"constraint": "l2<=2", "optimizer": "lion"}, "does not say in which metric it steps; use SGD or Adam"),
        ({"penalty": "0.1*l1", "optimizer": "lbfgs"}, "is not smooth and needs a proximal step"),
        ({"constraint": "spectral<=1"}, "Use cr.learn.SGD"),
        ({"method": "lagrangian"}, "there is no constraint for it"),
        ({"method": "lagrangain", "constraint": "l2<=2"}, "did you mean 'lagrangian'?"),
        ({"method": ct.AcceleratedProjection(), "constraint": "l2<=2"}, "method is AcceleratedProjection"),
        ({"method": "lagrangian", "constraint": "nonnegative"}, "no constraint that multipliers can hold"),
        ({"method": "lagrangian", "constraint": "l2<=2", "early_stopping": True}, "early_stopping=True keeps"),
        (
            {"constraint": ct.error_rate(group="a") <= 0.1, "method": "lagrangian"},
            "no groups of rows can be given here",
        ),
        ({"constraint": ct.L2Ball(1.0, parameters=["hiden1.*"])}, "covers none of hidden1.weight"),
    ],
    ids=lambda v: str(v)[:50],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError) as error:
        NetworkClassifier(**given).fit(X, Y)
    assert message in str(error.value)
    assert not hasattr(NetworkClassifier(**given), "predictor_")


def test_constraints_that_no_point_satisfies_warn() -> None:
    """Only the report of the command line said so."""
    with pytest.warns(ConvergenceWarning, match=r"Box\(1\.0, None\): 1 ≤ w: w from .*; violated") as said:
        model = NetworkClassifier((4,), constraint="w>=1, w<=0", epochs=5).fit(X, Y)
    assert not model.constraint_values_[0].holds
    assert said[0].filename == __file__  # the user's line, whatever scikit-learn wraps around fit


def test_a_limit_on_errors_without_groups_is_held() -> None:
    limit = ct.selection_rate(sharpness=4.0) <= 0.4
    model = NetworkClassifier((), constraint=limit, method=ct.Lagrangian(0.05, damping=1.0), epochs=1500).fit(X, Y)
    (found,) = ct.limit_values(model.run_)
    assert found.smooth == pytest.approx(0.4, abs=0.05)
    assert found.value == pytest.approx(model.predict(X).mean())
    assert NetworkClassifier((), epochs=1500).fit(X, Y).predict(X).mean() > 0.6


def test_validation_rows_are_only_looked_at_by_multipliers() -> None:
    model = NetworkClassifier(constraint="l2<=2", method="lagrangian", epochs=20).fit(
        X[:400], Y[:400], validation_data=(X[400:], Y[400:])
    )
    assert "validation_loss" in model.history_[-1]
    assert model.best_epoch_ is None
    assert model.n_iter_ == 20


def test_clone_pickle_params_and_search() -> None:
    model = NetworkClassifier((8,), constraint=["l2<=2", ct.NonNegative()], penalty="0.001*l1", epochs=20)
    again = clone(model).fit(X, Y)
    assert bits(again) == bits(model.fit(X, Y))
    other = pickle.loads(pickle.dumps(again))
    assert np.array_equal(other.predict_proba(X), again.predict_proba(X))
    assert list(map(str, other.constraint_values_)) == list(map(str, again.constraint_values_))
    assert other.get_params()["penalty"] == "0.001*l1"
    search = GridSearchCV(
        make_pipeline(StandardScaler(), NetworkClassifier((8,), epochs=20)),
        {"networkclassifier__constraint": [None, "l2<=1", "l2<=8"]},
        cv=2,
    ).fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert "l2<=1" in repr(model.set_params(constraint="l2<=1"))


def test_partial_fit_goes_on_with_multipliers_and_refuses_another_problem() -> None:
    model = NetworkClassifier((8,), constraint="l2<=1", method="lagrangian", batch_size="all")
    seen = []
    for _ in range(40):
        model.partial_fit(X, Y)
        seen.append(model.multipliers_["L2Ball(1)"])
    assert seen[-1] > seen[4] > 0.0  # carried from call to call, not begun again
    (found,) = model.constraint_values_
    assert found.value == pytest.approx(1.0, rel=0.1)
    for changed in ({"constraint": "l2<=2"}, {"method": None}, {"penalty": "0.1*l1"}):
        with pytest.raises(TrainingError, match=f"{next(iter(changed))} is .* and the training began with"):
            clone_of(model, **changed).partial_fit(X, Y)


def clone_of(model: Any, **changed: Any) -> Any:
    other = pickle.loads(pickle.dumps(model))
    return other.set_params(**changed)


def test_warm_start_goes_on_under_the_constraint_of_now() -> None:
    model = NetworkClassifier((8,), constraint="l2<=4", warm_start=True, epochs=30).fit(X, Y)
    first = model.constraint_values_[0].value
    model.set_params(constraint="l2<=1").fit(X, Y)
    assert first > 1.0 >= model.constraint_values_[0].value
