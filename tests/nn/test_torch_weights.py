"""PyTorch weights in and out: with a state_dict made by hand, and with PyTorch itself where it is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import TraceError, TypeMismatch

RNG = np.random.default_rng(8)
X = RNG.normal(size=(7, 3))


def by_hand() -> dict[str, Any]:
    """Linear(3, 4), BatchNorm1d(4), ReLU, Dropout, Linear(4, 2, bias=False), LayerNorm(2), PReLU()."""
    return {
        "0.weight": RNG.normal(size=(4, 3)), "0.bias": RNG.normal(size=4),
        "1.weight": RNG.normal(size=4), "1.bias": RNG.normal(size=4),
        "1.running_mean": RNG.normal(size=4), "1.running_var": RNG.uniform(0.5, 2, 4),
        "1.num_batches_tracked": np.array(7),
        "4.weight": RNG.normal(size=(2, 4)),
        "5.weight": RNG.normal(size=2), "5.bias": RNG.normal(size=2),
        "6.weight": np.array([0.3]),
    }  # fmt: skip


NETWORK = nn.Sequential(
    nn.Dense(4), nn.BatchNorm(), nn.Lambda("relu"), nn.Dropout(0.3), nn.Dense(2, bias=False), nn.LayerNorm(), nn.PReLU()
)


def test_by_hand() -> None:
    given = by_hand()
    parameters, state = nn.from_torch(given, NETWORK, X)
    h = X @ given["0.weight"].T + given["0.bias"]
    h = (h - given["1.running_mean"]) / np.sqrt(given["1.running_var"] + 1e-5) * given["1.weight"] + given["1.bias"]
    h = np.maximum(h, 0) @ given["4.weight"].T
    h = (h - h.mean(axis=1, keepdims=True)) / np.sqrt(h.var(axis=1, keepdims=True) + 1e-5)
    h = h * given["5.weight"] + given["5.bias"]
    np.testing.assert_allclose(NETWORK(parameters, X, state=state), np.where(h > 0, h, 0.3 * h), rtol=1e-12)
    assert set(state) == {"norm1.mean", "norm1.variance"}
    assert parameters["prelu1.slope"].tolist() == [0.3, 0.3]
    assert {v.dtype for v in (*parameters.values(), *state.values())} == {np.dtype(np.float64)}
    small, _ = nn.from_torch(given, NETWORK, X.astype(np.float32))
    assert {v.dtype for v in small.values()} == {np.dtype(np.float32)}


def test_there_and_back() -> None:
    given = by_hand()
    parameters, state = nn.from_torch(given, NETWORK, X)
    back = nn.to_torch(NETWORK, parameters, state)
    assert list(back) == list(given)
    for key, value in back.items():
        if key not in ("1.num_batches_tracked", "6.weight"):
            assert value.tobytes() == given[key].tobytes()
            assert value.flags.c_contiguous
    assert back["6.weight"].tolist() == [0.3, 0.3]
    parameters["hidden1.bias"][:] = 0
    assert np.any(back["0.bias"] != 0), "a copy"


def test_activations_take_numbers_as_modules_do() -> None:
    network = nn.Sequential(
        nn.Dense(5, "relu"), nn.Dropout(), nn.Dense(4), nn.Dense(3, activation=nn.PReLU()), nn.Dense(2)
    )
    weights = nn.to_torch(network, network.initialize(X))
    assert list(weights) == [
        "0.weight", "0.bias", "3.weight", "3.bias", "4.weight", "4.bias", "5.weight", "6.weight", "6.bias"
    ]  # fmt: skip


def test_numbers_are_sorted_as_numbers() -> None:
    """A file of weights may have its names in any order: 10 comes after 2."""
    layers = [nn.Dense(3, "tanh") for _ in range(7)]
    network = nn.Sequential(layers)
    p = network.initialize(X)
    weights = nn.to_torch(network, p)
    assert "10.weight" in weights
    again, _ = nn.from_torch(dict(sorted(weights.items())), network, X)
    assert {k: v.tobytes() for k, v in again.items()} == {k: v.tobytes() for k, v in p.items()}


def test_blocks_and_names_of_ones_own() -> None:
    network = nn.Sequential(nn.Sequential(nn.Dense(4, "relu"), nn.Dense(3)), nn.Frozen(nn.Dense(1)))
    p = network.initialize(X)
    weights = nn.to_torch(network, p)
    assert list(weights) == ["0.0.weight", "0.0.bias", "0.2.weight", "0.2.bias", "1.weight", "1.bias"]
    names = {"block1.hidden1": "fc1", "block1.output": "fc2", "output": "head"}
    named = nn.to_torch(network, p, names=names)
    assert list(named) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "head.weight", "head.bias"]
    for again in (
        nn.from_torch(named, network, X)[0],
        nn.from_torch(dict(reversed(named.items())), network, X, names=names)[0],
    ):
        assert {k: v.tobytes() for k, v in again.items()} == {k: v.tobytes() for k, v in p.items()}
    alone = nn.Dense(2)
    assert list(nn.to_torch(alone, alone.initialize(X))) == ["weight", "bias"]
    assert nn.from_torch({"weight": np.ones((2, 3)), "bias": np.zeros(2)}, alone, X)[0]["weight"].shape == (3, 2)


def test_tied_parameters_are_written_twice_and_must_agree() -> None:
    network = nn.Sequential(nn.Dense(4, "tanh"), nn.Dense(3), tie={"output.weight": "hidden1.weight.T"})
    p = network.initialize(X)
    weights = nn.to_torch(network, p)
    np.testing.assert_array_equal(weights["2.weight"], weights["0.weight"].T)
    again, _ = nn.from_torch(weights, network, X)
    assert {k: v.tobytes() for k, v in again.items()} == {k: v.tobytes() for k, v in p.items()}
    weights["2.weight"] = weights["2.weight"] + 1
    with pytest.raises(TraceError, match=r"'output.weight' is tied to 'hidden1.weight', and the state_dict has other"):
        nn.from_torch(weights, network, X)


def test_training_goes_on_from_them() -> None:
    parameters, _ = nn.from_torch(by_hand(), NETWORK, X)
    run = cr.fit(cr.Objective(NETWORK, "squared_error"), (X, X[:, :2]), parameters=parameters, epochs=1)
    assert run.at(0).parameters["hidden1.weight"].tobytes() == parameters["hidden1.weight"].tobytes()


def test_pytorch_is_not_imported() -> None:
    code = (
        "import sys, numpy as np\nimport chainrule as cr\nn = cr.nn.Dense(1)\np = n.initialize(np.ones((1, 2)))\n"
        "cr.nn.from_torch(cr.nn.to_torch(n, p), n, np.ones((1, 2)))\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


DENSE = nn.Sequential(nn.Dense(4, "relu"), nn.Dense(2))
GOOD = {"0.weight": np.ones((4, 3)), "0.bias": np.ones(4), "2.weight": np.ones((2, 4)), "2.bias": np.ones(2)}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            {"0.weight": np.ones((3, 4))}, TypeMismatch,
            "the layer 'hidden1': 'hidden1.weight' has the shape (3, 4), and '0.weight' of the state_dict (3, 4) (Py",
        ),
        ({"2.bias": np.ones(3)}, TypeMismatch, "the layer 'output': 'output.bias' has the shape (2,), and '2.bias' of"),
        ({"2.bias": None}, TraceError, "the layer 'output' needs '2.bias', which the state_dict lacks: 0.weight"),
        ({"3.weight": np.ones(2)}, TraceError, "the network has 2 layers with parameters: hidden1 (Dense), output"),
        ({"0.extra": np.ones(2)}, TraceError, "the state_dict has '0.extra', of shape (2,), for which there is no"),
        ({"0.bias": np.array(["a"])}, TraceError, "the state_dict holds <U1 under '0.bias', not numbers"),
    ],
)  # fmt: skip
def test_what_does_not_match(change: dict[str, Any], kind: type[Exception], message: str) -> None:
    given = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    with pytest.raises(kind) as error:
        nn.from_torch(given, DENSE, X)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.to_torch(NETWORK, nn.from_torch(by_hand(), NETWORK, X)[0]),
            "needs 'norm1.mean', which was not given; give state=run",
        ),
        (lambda: nn.to_torch(DENSE, {}), "the layer 'hidden1' needs 'hidden1.weight', which was not given; give"),
        (
            lambda: nn.to_torch(DENSE, {}, names={"hidden1": "a"}),
            "names must have one entry for each layer with parameters: hidden1, output",
        ),
        (
            lambda: nn.from_torch(GOOD, nn.Sequential(nn.Residual(nn.Dense(3)), nn.Dense(1)), X),
            "the layer 'residual1', Residual(Dense(3)), has no counterpart in torch.nn.Sequential",
        ),
        (lambda: nn.from_torch(GOOD, nn.Sequential(nn.Scale(), nn.Dense(1)), X), "the layer 'scale1', Scale(), has"),
        (
            lambda: nn.from_torch(GOOD, nn.Sequential(nn.Frozen(nn.Columns([0], nn.Dense(2))), nn.Dense(1)), X),
            "the layer 'hidden1', Columns([0], Dense(2)), has no counterpart",
        ),
        (
            lambda: nn.from_torch(GOOD, nn.Sequential(nn.Embedding([2, 2, 2], 1), nn.Dense(1)), X),
            "the layer 'embedding1' has a table for each column, which no module of PyTorch has",
        ),
    ],
)  # fmt: skip
def test_refusals(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TraceError) as error:
        make()
    assert message in str(error.value)


# --- with PyTorch -----------------------------------------------------------------------------------------------------


def test_predictions_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is no part of the test extra; the cases above need none")
    torch.manual_seed(0)
    t = torch.nn
    theirs = t.Sequential(
        t.Linear(3, 8), t.GELU(), t.BatchNorm1d(8), t.Dropout(0.3), t.Linear(8, 8), t.PReLU(8),
        t.Sequential(t.Linear(8, 5), t.SELU()), t.LayerNorm(5), t.Linear(5, 2),
    )  # fmt: skip
    ours = nn.Sequential(
        nn.Dense(8, "gelu"), nn.BatchNorm(), nn.Dropout(0.3), nn.Dense(8, activation=nn.PReLU()),
        nn.Sequential(nn.Dense(5, "selu")), nn.LayerNorm(), nn.Dense(2),
    )  # fmt: skip
    for _ in range(3):
        theirs(torch.randn(20, 3))  # running statistics of its own
    theirs.eval()
    x = X.astype(np.float32)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    parameters, state = nn.from_torch(theirs.state_dict(), ours, x)
    np.testing.assert_allclose(ours(parameters, x, state=state), expected, rtol=1e-5, atol=1e-6)
    back = nn.to_torch(ours, parameters, state, tensors=True)
    assert list(back) == list(theirs.state_dict())
    again = t.Sequential(
        t.Linear(3, 8), t.GELU(), t.BatchNorm1d(8), t.Dropout(0.3), t.Linear(8, 8), t.PReLU(8),
        t.Sequential(t.Linear(8, 5), t.SELU()), t.LayerNorm(5), t.Linear(5, 2),
    )  # fmt: skip
    again.load_state_dict(back)
    np.testing.assert_array_equal(again.eval()(torch.from_numpy(x)).detach().numpy(), expected)


def test_embeddings_half_precision_and_training() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is no part of the test extra; the cases above need none")
    torch.manual_seed(1)
    table = torch.nn.Embedding(5, 3)
    x = np.array([[4.0], [0.0], [2.0]])
    parameters, _ = nn.from_torch(table.state_dict(), nn.Embedding(5, 3), x)
    np.testing.assert_array_equal(nn.Embedding(5, 3)(parameters, x), table(torch.tensor([4, 0, 2])).detach().double())
    half = torch.nn.Linear(3, 2).to(torch.bfloat16)
    parameters, _ = nn.from_torch(half.state_dict(), nn.Dense(2), X)
    np.testing.assert_array_equal(parameters["weight"].T, half.weight.detach().double().numpy())


def test_a_step_of_training_is_that_of_pytorch() -> None:
    """The same weights, the same loss, the same step; and the running variance, but for n/(n − 1)."""
    torch = pytest.importorskip("torch", reason="PyTorch is no part of the test extra; the cases above need none")
    torch.manual_seed(2)
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 6), torch.nn.BatchNorm1d(6), torch.nn.Mish(), torch.nn.Linear(6, 3)
    ).double()
    ours = nn.Sequential(nn.Dense(6), nn.BatchNorm(), nn.Lambda("mish"), nn.Dense(3))
    labels = np.array([0, 1, 2, 1, 0, 2, 2])
    parameters, _ = nn.from_torch(theirs.state_dict(), ours, X)
    objective = cr.Objective(ours, nn.losses.SoftmaxCrossEntropy(smoothing=0.1))
    run = cr.fit(objective, (X, labels), parameters=parameters, epochs=1, batch_size="all", shuffle=False,
                 optimizer=cr.learn.SGD(0.1))  # fmt: skip
    loss = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(X)), torch.from_numpy(labels), label_smoothing=0.1)
    loss.backward()
    torch.optim.SGD(theirs.parameters(), 0.1).step()
    assert run.history[0]["loss"] == pytest.approx(loss.item(), rel=1e-12)
    found = nn.to_torch(ours, run.parameters, run.state)
    for key, value in theirs.state_dict().items():
        if key == "1.running_var":
            batch = (value.numpy() - 0.9) / 0.1
            np.testing.assert_allclose(found[key], 0.9 + 0.1 * batch * 6 / 7, rtol=1e-12)
        elif key != "1.num_batches_tracked":
            np.testing.assert_allclose(found[key], value.numpy(), rtol=1e-9, atol=1e-14)
