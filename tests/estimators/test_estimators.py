"""The two estimators in a practitioner's hands: pipelines, searches, copies, callbacks, further rows, weights."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import NetworkClassifier, NetworkRegressor
from chainrule.errors import TableError, TrainingError
from chainrule.workflow.defaults import LARGE, SMALL

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK: dict[str, Any] = {"epochs": 25}
BATCHES: dict[str, Any] = {"epochs": 6, "batch_size": 16, "hidden_layer_sizes": (12,)}


def classifier(**settings: Any) -> NetworkClassifier:
    return NetworkClassifier(**{**QUICK, **settings}).fit(*IRIS)


def regressor(**settings: Any) -> NetworkRegressor:
    return NetworkRegressor(**{**QUICK, **settings}).fit(*DIABETES)


# what a fit leaves behind


def test_attributes() -> None:
    model = classifier()
    assert model.n_iter_ == len(model.history_) == model.chosen_["epochs"] == 25
    assert model.loss_ == model.history_[-1]["loss"]
    assert model.n_features_in_ == 4
    assert model.n_outputs_ == 3
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.best_epoch_ is None
    assert model.best_validation_loss_ is None
    assert model.run_.status == "done"
    assert set(model.parameters_) == {"hidden1.weight", "hidden1.bias", "output.weight", "output.bias"}
    with pytest.raises(NotFittedError):
        NetworkClassifier().predict(IRIS[0])


def test_the_run_can_be_explained() -> None:
    assert "paths" in str(cr.explain(classifier().run_, of="hidden1.weight[0, 0]", rows=[0]))


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_same_seed_same_bits_and_both_executors(executor: str) -> None:
    a, b = classifier(executor=executor), classifier(executor=executor)
    assert np.array_equal(a.predict_proba(IRIS[0]), b.predict_proba(IRIS[0]))
    assert not np.array_equal(a.predict_proba(IRIS[0]), classifier(random_state=1).predict_proba(IRIS[0]))
    assert np.allclose(a.predict_proba(IRIS[0]), classifier().predict_proba(IRIS[0]), rtol=1e-6, atol=1e-9)
    c, d = regressor(executor=executor, **BATCHES), regressor(**BATCHES)
    assert np.allclose(c.predict(DIABETES[0]), d.predict(DIABETES[0]), rtol=1e-3)


def test_random_states() -> None:
    given = np.random.RandomState(3)
    first, second = (NetworkClassifier(random_state=given, **QUICK).fit(*IRIS) for _ in range(2))
    assert not np.array_equal(first.predict_proba(IRIS[0]), second.predict_proba(IRIS[0]))
    again = NetworkClassifier(random_state=np.random.RandomState(3), **QUICK).fit(*IRIS)
    assert np.array_equal(first.predict_proba(IRIS[0]), again.predict_proba(IRIS[0]))
    assert not np.array_equal(
        *(NetworkClassifier(random_state=None, **QUICK).fit(*IRIS).predict_proba(IRIS[0]) for _ in range(2))
    )


def test_probabilities() -> None:
    for y in (IRIS[1], IRIS[1] == 1):
        model = NetworkClassifier(**QUICK).fit(IRIS[0], y)
        p = model.predict_proba(IRIS[0])
        assert np.allclose(p.sum(axis=1), 1)
        assert np.allclose(np.exp(model.predict_log_proba(IRIS[0])), p, atol=1e-12)
        assert np.array_equal(model.classes_[p.argmax(axis=1)], model.predict(IRIS[0]))
    assert np.allclose(model.decision_function(IRIS[0]), np.log(p[:, 1] / p[:, 0]))
    far = NetworkClassifier(weight_decay=0.0, learning_rate=0.5, epochs=300).fit([[0.0], [1.0]], [0, 1])
    assert np.all(np.isfinite(far.predict_log_proba([[0.0], [1.0]])))


@pytest.mark.parametrize("loss", ["squared_error", "half_squared_error", "softmax_cross_entropy"])
@pytest.mark.parametrize("classes", [2, 3])
def test_losses_of_classes(loss: str, classes: int) -> None:
    y = np.minimum(IRIS[1], classes - 1)
    model = NetworkClassifier(loss=loss).fit(IRIS[0], y)
    assert model.score(IRIS[0], y) > 0.9
    assert np.allclose(model.predict_proba(IRIS[0]).sum(axis=1), 1)
    assert np.all(np.isfinite(model.decision_function(IRIS[0])))


def test_a_loss_of_ones_own() -> None:
    def absolute(target: Any, output: Any) -> Any:
        return np.sum(np.abs(target - output), axis=1)

    model = NetworkRegressor(loss=absolute).fit(*DIABETES)
    assert model.score(*DIABETES) > 0.4


# networks


def test_layers_of_ones_own() -> None:
    wide = [cr.nn.Dense(16, activation="tanh"), cr.nn.Dropout(0.1), cr.nn.BatchNorm(), 8]
    model = NetworkClassifier(wide, batch_size=32, epochs=40).fit(*IRIS)
    assert [name for name in model.parameters_ if name.endswith("weight")] == [
        "hidden1.weight", "hidden2.weight", "output.weight",
    ]  # fmt: skip
    assert model.score(*IRIS) > 0.9
    same = NetworkClassifier(cr.nn.Sequential(*wide[:3], cr.nn.Dense(8, "relu")), batch_size=32, epochs=40).fit(*IRIS)
    assert np.array_equal(same.predict_proba(IRIS[0]), model.predict_proba(IRIS[0]))
    assert NetworkClassifier(()).fit(*IRIS).score(*IRIS) > 0.8  # no hidden layer: logistic regression
    assert np.array_equal(
        classifier(hidden_layer_sizes=7).predict(IRIS[0]), classifier(hidden_layer_sizes=[7]).predict(IRIS[0])
    )


@pytest.mark.parametrize("optimizer", [*cr.learn.OPTIMIZERS, cr.learn.Adam(0.01), cr.learn.SGD(cr.learn.Cosine(0.2))])
def test_optimizers(optimizer: Any) -> None:
    epochs = 1500 if optimizer == "lion" else "auto"  # whose usual steps are small: it is made for large networks
    assert NetworkClassifier(optimizer=optimizer, epochs=epochs).fit(*IRIS).score(*IRIS) > 0.9


def test_a_setting_is_not_given_twice() -> None:
    with pytest.raises(TrainingError, match="learning_rate is given twice"):
        NetworkClassifier(optimizer=cr.learn.Adam(0.01), learning_rate=0.1).fit(*IRIS)


# what "auto" becomes


@pytest.mark.parametrize(
    ("rows", "batch", "stops"), [(SMALL, "all", False), (SMALL + 1, None, None), (LARGE + 1, None, True)]
)
def test_automatic_settings_go_by_the_rows(rows: int, batch: str | None, stops: bool | None) -> None:
    x = np.random.default_rng(0).normal(size=(rows, 2))
    model = NetworkClassifier(epochs=1).fit(x, x[:, 0] > 0)
    assert (model.chosen_["batch_size"] == "all") == (batch == "all")
    if stops is not None:
        assert model.chosen_["early_stopping"] is stops
    assert model.chosen_["epochs"] == 1  # what was given is kept
    assert model.parameters_["output.weight"].dtype == (np.float64 if batch == "all" else np.float32)


def test_early_stopping_keeps_the_best() -> None:
    model = classifier(early_stopping=True, epochs=400, patience=5, learning_rate=0.05)
    losses = [entry["validation_loss"] for entry in model.history_]
    assert model.best_validation_loss_ == min(losses) == losses[model.best_epoch_ - 1]
    assert model.n_iter_ <= 400
    again = classifier(
        early_stopping=True, epochs=model.best_epoch_, patience=400, learning_rate=0.05, schedule="constant"
    )
    assert again.best_epoch_ is not None


def test_validation_data() -> None:
    x, y = IRIS
    model = NetworkClassifier(epochs=20).fit(x[::2], y[::2], validation_data=(x[1::2], y[1::2]))
    assert model.chosen_["early_stopping"] is True
    assert len(model.run_.training["x"]) == 75  # every row trains
    only_watched = NetworkClassifier(epochs=20, early_stopping=False)
    only_watched.fit(x[::2], y[::2], validation_data=(x[1::2], y[1::2], np.ones(75)))
    assert only_watched.best_epoch_ is None
    assert only_watched.best_validation_loss_ is not None
    expected = NetworkClassifier(epochs=20).fit(x[::2], y[::2])
    assert np.array_equal(only_watched.predict_proba(x), expected.predict_proba(x))
    with pytest.raises(TrainingError, match="validation_data must be"):
        NetworkClassifier().fit(x, y, validation_data=x)
    with pytest.raises(TableError, match="a class that the estimator was not fitted on"):
        NetworkClassifier().fit(x[:100], y[:100], validation_data=(x, y))


def test_nothing_of_the_watched_rows_is_learned() -> None:
    x, y = DIABETES
    model = NetworkRegressor(early_stopping=True, **QUICK).fit(x, y)
    watched = model.run_.validation["x"].shape[0]
    assert watched == 88
    changed = x.copy()
    held = np.setdiff1d(np.arange(len(x)), _training_rows(model, x))
    assert len(held) == watched
    changed[held] += 1e6
    again = NetworkRegressor(early_stopping=True, epochs=25, patience=1000).fit(changed, y)
    assert np.array_equal(again.encoder_.matrix.center, model.encoder_.matrix.center)
    assert np.array_equal(again.run_.training["x"], model.run_.training["x"])


def _training_rows(model: Any, x: Any) -> Any:
    encoded = model.encoder_.transform(x)
    return [i for i, row in enumerate(encoded) if (model.run_.training["x"] == row).all(axis=1).any()]


def test_divergence_warns_and_keeps_the_last_finite_parameters() -> None:
    with pytest.warns(ConvergenceWarning, match="the last finite parameters are kept"):
        model = regressor(optimizer="sgd", learning_rate=1e30, schedule="constant")
    assert np.all(np.isfinite(model.predict(DIABETES[0])))
    assert model.run_.status == "non-finite"


# weights


def test_balanced_classes() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (180, 2)), rng.normal(1, 1, (20, 2))])
    y = np.repeat([0, 1], [180, 20])
    plain, balanced = (NetworkClassifier(class_weight=w).fit(x, y) for w in (None, "balanced"))
    assert balanced.predict(x).sum() > plain.predict(x).sum()
    by_hand = NetworkClassifier(class_weight={0: 200 / 360, 1: 200 / 40}).fit(x, y)
    assert np.allclose(balanced.predict_proba(x), by_hand.predict_proba(x), rtol=1e-9)
    weight = rng.integers(0, 3, 200)
    a = NetworkClassifier(class_weight="balanced").fit(x, y, sample_weight=weight)
    b = NetworkClassifier(class_weight="balanced").fit(np.repeat(x, weight, axis=0), np.repeat(y, weight))
    assert np.allclose(a.predict_proba(x), b.predict_proba(x), rtol=1e-7)


def test_weights_scale_out() -> None:
    weight = np.random.default_rng(0).uniform(0.1, 2, len(DIABETES[1]))
    a, b = (NetworkRegressor(**QUICK).fit(*DIABETES, sample_weight=s * weight) for s in (1.0, 1e-9))
    assert np.allclose(a.predict(DIABETES[0]), b.predict(DIABETES[0]), rtol=1e-9)


# several outputs


def test_several_numbers() -> None:
    x, y = DIABETES
    both = np.stack([y, 1e6 - 1e3 * x[:, 2]], axis=1)
    model = NetworkRegressor(epochs=200).fit(x, both)
    assert model.predict(x).shape == both.shape
    assert model.score(x, both) > 0.6
    column = NetworkRegressor(**QUICK).fit(x, y[:, None])
    assert np.array_equal(column.predict(x)[:, 0], regressor().predict(x))
    with pytest.raises(TableError, match="fitted on 2 numbers"):
        NetworkRegressor(warm_start=True).fit(x, both).fit(x, y)


def test_several_labels() -> None:
    x, y = make_multilabel_classification(n_samples=120, n_classes=4, random_state=0)
    model = NetworkClassifier().fit(x, y)
    p = model.predict_proba(x)
    assert p.shape == y.shape == model.predict(x).shape
    assert np.array_equal(p > 0.5, model.predict(x) == 1)
    assert np.allclose(np.log(p), model.predict_log_proba(x))
    assert np.allclose(model.decision_function(x), np.log(p) - np.log1p(-p))
    assert model.score(x, y) > 0.5
    assert NetworkClassifier(class_weight="balanced", **QUICK).fit(x, y).predict(x).shape == y.shape
    each = MultiOutputClassifier(NetworkClassifier(**QUICK)).fit(x, y)  # and scikit-learn's own way
    assert each.predict(x).shape == y.shape


# going on


def test_partial_fit_is_the_same_training_in_calls() -> None:
    x, y = IRIS
    settings: dict[str, Any] = {
        "hidden_layer_sizes": (8,),
        "learning_rate": 0.02,
        "weight_decay": 0.1,
        "batch_size": "all",
    }
    model = NetworkClassifier(**settings)
    for _ in range(30):
        model.partial_fit(x, y)
    whole = NetworkClassifier(**settings, epochs=30, schedule="constant").fit(x, y)
    assert np.allclose(model.predict_proba(x), whole.predict_proba(x), rtol=1e-9)  # Adam's moments were carried on
    assert model.n_iter_ == 30
    assert [entry["epoch"] for entry in model.history_] == list(range(1, 31))


def test_partial_fit_with_classes_to_come() -> None:
    x, y = IRIS
    model = NetworkClassifier(batch_size=10, hidden_layer_sizes=(16,))
    for epoch in range(15):
        for start in range(0, 150, 50):  # class by class
            model.partial_fit(x[start : start + 50], y[start : start + 50], classes=[0, 1, 2] if not epoch else None)
    assert model.classes_.tolist() == [0, 1, 2]
    with pytest.raises(TableError, match="a class that the estimator was not fitted on"):
        model.partial_fit(x, y + 1)
    with pytest.raises(TableError, match="in the first call they were"):
        model.partial_fit(x, y, classes=[0, 1])
    with pytest.raises(TrainingError, match="no end to stop before"):
        NetworkClassifier(early_stopping=True).partial_fit(x, y)


def test_partial_fit_after_fit_and_after_a_copy() -> None:
    x, y = DIABETES
    model = NetworkRegressor(**BATCHES).fit(x, y)
    other = pickle.loads(pickle.dumps(model))
    assert np.array_equal(model.partial_fit(x, y).predict(x), other.partial_fit(x, y).predict(x))
    third = pickle.loads(pickle.dumps(model))
    assert np.array_equal(model.partial_fit(x, y).predict(x), third.partial_fit(x, y).predict(x))
    assert model.n_iter_ == 8
    far = model.partial_fit(x[:5], y[:5] + 1e4)
    assert far.target_.high[0] == max(y[:5]) + 1e4  # what may be predicted has grown


def test_warm_start_goes_on() -> None:
    model = NetworkClassifier(epochs=10, warm_start=True).fit(*IRIS)
    first = model.loss_
    assert model.fit(*IRIS).loss_ < first
    fresh = NetworkClassifier(epochs=10).fit(*IRIS).fit(*IRIS)
    assert fresh.loss_ == first
    rng = np.random.default_rng(0)
    many = model.set_params(hidden_layer_sizes=(64,)).fit(rng.normal(size=(1500, 4)), rng.integers(0, 3, 1500))
    assert many.parameters_["output.weight"].dtype == np.float32  # more rows than before: single precision
    with pytest.raises(TrainingError, match="other layers"):
        model.set_params(hidden_layer_sizes=(3,)).fit(*IRIS)


# copies


def deep(model: Any) -> Any:
    return {"list": [{"deep": (model,)}]}


@pytest.mark.parametrize("model", [classifier(), regressor(), regressor(**BATCHES)], ids=["class", "number", "batches"])
def test_copies(model: Any, tmp_path: Path) -> None:
    x = IRIS[0] if isinstance(model, NetworkClassifier) else DIABETES[0]
    expected = model.predict(x)
    joblib.dump(deep(model), tmp_path / "model.joblib")
    copies = [
        pickle.loads(pickle.dumps(deep(model))),
        copy.deepcopy(deep(model)),
        joblib.load(tmp_path / "model.joblib"),
        deep(copy.copy(model)),
    ]
    for made in copies:
        other = made["list"][0]["deep"][0]
        assert np.array_equal(other.predict(x), expected)
        assert other.history_ == model.history_
        with pytest.raises(AttributeError, match="no part of a copy or pickle"):
            other.run_  # noqa: B018  # to ask is what raises
    assert not hasattr(clone(model), "predictor_")
    assert len(pickle.dumps(model)) < 10 * sum(a.nbytes for a in model.parameters_.values()) + 100_000  # no rows


def test_a_deep_network_is_copied() -> None:
    model = NetworkClassifier((4,) * 300, epochs=1).fit(*IRIS)
    other = copy.deepcopy(pickle.loads(pickle.dumps(model)))
    assert np.array_equal(other.predict(IRIS[0]), model.predict(IRIS[0]))


def test_a_pickle_is_read_by_a_fresh_process(tmp_path: Path) -> None:
    model = classifier()
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "p.npy", model.predict_proba(IRIS[0]))
    code = (
        "import pickle, sys, numpy as np\n"
        "from sklearn.datasets import load_iris\n"
        "model = pickle.load(open('model.pickle', 'rb'))\n"
        "assert np.array_equal(model.predict_proba(load_iris().data), np.load('p.npy'))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": _source()})


def _source() -> str:
    return str(Path(cr.__file__).parents[1])


def test_threads_predict_at_once_and_nothing_is_set() -> None:
    model = regressor()
    before = {name: id(value) for name, value in vars(model).items()}
    expected = model.predict(DIABETES[0])
    found: list[Any] = []

    def work() -> None:
        found.extend(np.array_equal(model.predict(DIABETES[0][i:]), expected[i:]) for i in range(0, 400, 20))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 160
    assert all(found)
    assert {name: id(value) for name, value in vars(model).items()} == before


# scikit-learn's tools


def test_pipelines_and_searches() -> None:
    x, y = IRIS
    search = GridSearchCV(
        make_pipeline(StandardScaler(), NetworkClassifier(epochs=40)),
        {"networkclassifier__hidden_layer_sizes": [(4,), (16,)], "networkclassifier__weight_decay": [0.0, 1.0]},
        n_jobs=2, cv=3, error_score="raise",
    ).fit(x, y)  # fmt: skip
    assert search.best_score_ > 0.8
    alone = clone(search.best_estimator_).fit(x, y)
    assert np.array_equal(search.predict_proba(x), alone.predict_proba(x))
    scores = cross_val_score(NetworkRegressor(), *DIABETES, cv=3, n_jobs=2, error_score="raise")
    assert scores.mean() > 0.35
    p = cross_val_predict(NetworkClassifier(epochs=40), x, y, cv=3, method="predict_proba")
    assert p.shape == (150, 3)


def test_params() -> None:
    model = NetworkClassifier((8,), "tanh", learning_rate=0.1)
    assert clone(model).get_params() == model.get_params()
    assert repr(model) == "NetworkClassifier(activation='tanh', hidden_layer_sizes=(8,), learning_rate=0.1)"


class Recorder:
    """A callback of scikit-learn that keeps what it is told, and may stop."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.began, self.ended, self.scores, self.torn = stop_after, [], [], [], 0

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None:
        self.torn += 1

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.began.append(context.task_name)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any = None, y: Any = None, fitted_estimator: Any = None
    ) -> bool:
        self.ended.append(context.task_name)
        if context.task_name == "epoch":
            self.scores.append(fitted_estimator.score(X, y))
        return self.stop_after is not None and len(self.scores) == self.stop_after


@pytest.mark.parametrize("executor", ["native", "reference"])
@pytest.mark.parametrize("settings", [QUICK, {"epochs": 12, "batch_size": 32, "early_stopping": True, "patience": 3}])
def test_scikit_learns_callbacks(executor: str, settings: dict[str, Any]) -> None:
    pytest.importorskip("sklearn.callback", reason="they come with scikit-learn 1.9")
    recorder = Recorder()
    model = NetworkClassifier(executor=executor, **settings).set_callbacks(recorder).fit(*IRIS)
    assert recorder.began == ["fit", *["epoch"] * model.n_iter_]
    assert sorted(recorder.ended) == sorted(recorder.began)
    assert recorder.torn == 1
    if not settings.get("early_stopping"):
        assert recorder.scores[-1] == model.score(*IRIS)
    plain = NetworkClassifier(executor=executor, **settings).fit(*IRIS)
    assert np.array_equal(plain.predict_proba(IRIS[0]), model.predict_proba(IRIS[0]))  # being watched changes nothing


def test_a_callback_stops_the_training() -> None:
    pytest.importorskip("sklearn.callback", reason="they come with scikit-learn 1.9")
    recorder = Recorder(stop_after=4)
    model = NetworkClassifier(**BATCHES | {"epochs": 50}).set_callbacks(recorder).fit(*IRIS)
    assert model.n_iter_ == 4
    assert model.run_.status == "interrupted"
    assert recorder.torn == 1


def test_scikit_learns_own_monitor() -> None:
    callback = pytest.importorskip("sklearn.callback", reason="they come with scikit-learn 1.9")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = NetworkClassifier(**QUICK).set_callbacks(monitor).fit(*IRIS)
    log = monitor.get_logs()
    epochs = [row["accuracy"] for row in log.data if row["task_name"] == "epoch"]
    assert len(epochs) == 25
    assert epochs[-1] == model.score(*IRIS)


def test_without_callbacks_in_scikit_learn() -> None:
    """In a version that has none, they are refused by name, and everything else works."""
    code = (
        "import sys; sys.modules['sklearn.callback'] = None\n"
        "from chainrule import NetworkClassifier\n"
        "model = NetworkClassifier(epochs=5).fit([[0.0], [1.0], [2.0]], [0, 1, 1])\n"
        "print(model.predict([[2.0]]).shape)\n"
        "try: model.set_callbacks()\n"
        "except ValueError as error: print(error)\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "has no callbacks; they come with version 1.9" in made.stdout, made.stderr


def test_without_scikit_learn() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import chainrule\n"
        "try: chainrule.NetworkClassifier\n"
        "except ImportError as error: print(error)\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'chainrule[sklearn]'" in made.stdout, made.stderr


def test_verbose_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(verbose=1)
        regressor(verbose=True, early_stopping=True)
    assert shown.getvalue() is not None


def test_counts_and_searches_along_lines() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = rng.poisson(np.exp(1 + 0.5 * x[:, 0]))
    model = NetworkRegressor(loss="poisson").fit(x, y)  # its link is the exponential: counts are not standardized
    assert np.all(model.predict(x) >= 0)
    assert model.score(x, y) > 0.3
    assert NetworkClassifier(optimizer=cr.learn.LBFGS(), epochs=30, dropout=0.0).fit(*IRIS).score(*IRIS) > 0.9
    with pytest.raises(TrainingError, match="hinge gives no probabilities"):
        NetworkClassifier(loss="hinge").fit(*IRIS)


@pytest.mark.parametrize(
    ("optimizer", "rate", "decay"),
    [
        ("adam", 0.01, 1.0),
        ("sgd", 0.1, 0.0),
        ("momentum", 0.02, 0.0),
        ("lion", 0.0003, 1.0),
        ("lbfgs", None, None),
        (cr.learn.SGD(0.3), None, None),
    ],
    ids=str,
)
def test_what_is_in_force_is_what_the_optimizer_takes(optimizer: Any, rate: float | None, decay: float | None) -> None:
    """chosen_ had Adam's learning rate and decay, whatever the optimizer was."""
    X, y = load_iris(return_X_y=True)
    model = NetworkClassifier((4,), optimizer=optimizer, epochs=2).fit(X, y)
    assert (model.chosen_["learning_rate"], model.chosen_["weight_decay"]) == (rate, decay)
    if rate is not None:
        assert model.run_.settings["learning_rate"] == rate
        assert model.run_.settings.get("decay", 0.0) == decay
        model.partial_fit(X, y).partial_fit(X, y)  # goes on with these
        assert model.run_.settings["learning_rate"] == rate
