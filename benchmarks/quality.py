"""Test scores with default settings, on the same splits, beside scikit-learn's: ``python -m benchmarks.quality``.

Every model gets the same frame, with texts and missing cells in it. The estimators of chainrule take it as it is;
scikit-learn's get what a practitioner would put before them (imputed, scaled, one-hot; trees take categories as they
are; the network's and the linear model's y is standardized). No model is tuned. A quarter of the rows is the test; the
seed decides the split and the model's random state.

Accuracy for classes, R² for numbers. "− MLP" is the mean over seeds of the difference to scikit-learn's network on the
same split, with half of its 95 % interval; the tests overlap, so that the variance is taken n (1/n + test/training)
times (Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003).
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.tables import TABLES, TUNING, Table, load

TEST = 0.25
PEER = "sklearn MLP"


@dataclass
class Scores:
    """One model on one table: a score and the seconds of its fit for each seed."""

    table: str
    model: str
    rows: int | None
    scores: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def chainrule_network(table: Table, seed: int) -> Any:
    """Return our estimator with its defaults."""
    from chainrule import NetworkClassifier, NetworkRegressor

    return (NetworkClassifier if table.is_classification else NetworkRegressor)(random_state=seed)


def sklearn_mlp(table: Table, seed: int) -> Any:
    """Return scikit-learn's network with its defaults."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if table.is_classification:
        return make_pipeline(_prepared(table), MLPClassifier(random_state=seed))
    network = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
    return make_pipeline(_prepared(table), network)


def sklearn_trees(table: Table, seed: int) -> Any:
    """Return scikit-learn's boosted trees with their defaults."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    texts = _texts(table)
    coded = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=250)
    kind = HistGradientBoostingClassifier if table.is_classification else HistGradientBoostingRegressor
    model = kind(random_state=seed, categorical_features=list(range(len(texts))))
    return make_pipeline(make_column_transformer((coded, texts), remainder="passthrough"), model)


def sklearn_linear(table: Table, seed: int) -> Any:
    """Return logistic or ridge regression."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    model = LogisticRegression(max_iter=1000) if table.is_classification else Ridge()
    return make_pipeline(_prepared(table), model)


MODELS: Mapping[str, Callable[[Table, int], Any]] = {
    "chainrule": chainrule_network,
    PEER: sklearn_mlp,
    "sklearn trees": sklearn_trees,
    "sklearn linear": sklearn_linear,
}


def _texts(table: Table) -> list[str]:
    return [name for name in table.x.columns if table.x[name].dtype.kind != "f"]


def _prepared(table: Table) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    texts = _texts(table)
    numbers = [name for name in table.x.columns if name not in texts]
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=51, sparse_output=False), texts),
    )


def split(table: Table, seed: int) -> tuple[Any, Any, Any, Any]:
    """Return training and test rows; classes have the same shares in both."""
    from sklearn.model_selection import train_test_split

    found: tuple[Any, Any, Any, Any] = tuple(
        train_test_split(
            table.x, table.y, test_size=TEST, random_state=seed, stratify=table.y if table.is_classification else None
        )
    )
    return found


def fewer(table: Table, rows: int | None) -> Table:
    """Return a table of at most so many rows, chosen at random."""
    if rows is None or len(table.y) <= rows:
        return table
    chosen = np.sort(np.random.default_rng(0).permutation(len(table.y))[:rows])
    return Table(table.name, table.x.iloc[chosen].reset_index(drop=True), table.y[chosen], table.is_classification)


def measure(
    names: Sequence[str],
    models: Mapping[str, Callable[[Table, int], Any]],
    seeds: int,
    rows: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    keep: Path | None = None,
) -> list[Scores]:
    """Fit and score every model on every table and seed; what the file ``keep`` has already is not measured again."""
    kept = _kept(keep)
    found = []
    for name in names:
        table = fewer(load(name), rows)
        mine = [kept.setdefault((name, model, rows), Scores(name, model, rows)) for model in models]
        for seed in range(seeds):
            x, xt, y, yt = split(table, seed)
            for scores, make in zip(mine, models.values(), strict=True):
                if len(scores.scores) > seed:
                    continue
                model = make(table, seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    begun = perf_counter()
                    model.fit(x, y)
                    scores.seconds.append(perf_counter() - begun)
                    scores.scores.append(float(model.score(xt, yt)))
                say(f"{name}, seed {seed}, {scores.model}: {scores.scores[-1]:.4f} in {scores.seconds[-1]:.2f} s")
                if keep is not None:
                    done = [asdict(each) for each in kept.values() if each.scores]
                    keep.write_text(json.dumps(done, indent=1), encoding="utf-8")
        found += [replace(each, scores=each.scores[:seeds], seconds=each.seconds[:seeds]) for each in mine]
    return found


def _kept(place: Path | None) -> dict[tuple[str, str, int | None], Scores]:
    if place is None or not place.exists():
        return {}
    loaded = [Scores(**each) for each in json.loads(place.read_text(encoding="utf-8"))]
    return {(each.table, each.model, each.rows): each for each in loaded}


def difference(own: Scores, peer: Scores) -> tuple[float, float]:
    """Return the mean difference of scores on the same splits, and half of its 95 % interval (NaN for one seed)."""
    from scipy.stats import t

    each = np.array(own.scores) - np.array(peer.scores)
    n = len(each)
    if n < 2:
        return float(each.mean()), float("nan")
    variance = each.var(ddof=1) * (1 / n + TEST / (1 - TEST))
    return float(each.mean()), float(t.ppf(0.975, n - 1) * np.sqrt(variance))


def table_text(results: Sequence[Scores]) -> str:
    """Return the table of docs/quality.md: for each data set the models by their mean score, the best first."""
    lines = [
        "| data | model | score | ± over seeds | − MLP | ± 95 % | fit, s |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name in dict.fromkeys(result.table for result in results):
        mine = sorted((r for r in results if r.table == name), key=lambda r: -np.mean(r.scores))
        peer = next((r for r in mine if r.model == PEER), None)
        for place, result in enumerate(mine):
            spread = f"{np.std(result.scores, ddof=1):.4f}" if len(result.scores) > 1 else "–"
            versus = ("", "")
            if peer is not None and result is not peer:
                mean, half = difference(result, peer)
                versus = (f"{mean:+.4f}", f"{half:.4f}" if np.isfinite(half) else "–")
            model = f"**{result.model}**" if result.model == "chainrule" else result.model
            lines.append(
                f"| {name if not place else ''} | {model} | {np.mean(result.scores):.4f} | {spread} "
                f"| {versus[0]} | {versus[1]} | {np.median(result.seconds):.2f} |"
            )
    return "\n".join(lines)


def verdict(results: Sequence[Scores]) -> str:
    """Return in a sentence where we are behind scikit-learn's network by more than noise, and our mean rank."""
    behind, ahead, ranks = [], [], []
    for name in dict.fromkeys(result.table for result in results):
        mine = {r.model: r for r in results if r.table == name}
        ranks.append(sorted(mine, key=lambda m: -np.mean(mine[m].scores)).index("chainrule") + 1)
        if PEER in mine:
            mean, half = difference(mine["chainrule"], mine[PEER])
            behind += [name] if mean < -half else []
            ahead += [name] if mean > half else []
    return (
        f"Against scikit-learn's MLP, by more than noise: behind on {', '.join(behind) or 'none'}; ahead on "
        f"{', '.join(ahead) or 'none'}. Mean rank of chainrule among the models: {np.mean(ranks):.2f}."
    )


def _chosen(text: str, known: Sequence[str], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise SystemExit(f"there is no {what} {name!r}; there are: {', '.join(known)}")
    return names


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark; the table goes to standard output, progress to standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", default=",".join(TABLES), help="names, with commas between")
    parser.add_argument("--models", default=",".join(MODELS), help="names, with commas between")
    parser.add_argument("--seeds", type=int, default=5, help="how many: 0, 1, …")
    parser.add_argument("--rows", type=int, default=None, help="at most so many rows of each table, chosen at random")
    parser.add_argument("--tuning", action="store_true", help="the tables on which the defaults were chosen, instead")
    parser.add_argument(
        "--json", type=Path, default=None, help="keep all scores in a file; those it has already are not measured again"
    )
    options = parser.parse_args(words)
    asked = options.datasets
    if options.tuning and asked == ",".join(TABLES):
        asked = ",".join(TUNING)
    names = _chosen(asked, [*TABLES, *TUNING], "table")
    models = {name: MODELS[name] for name in _chosen(options.models, list(MODELS), "model")}
    if options.seeds < 1 or (options.rows is not None and options.rows < 50):
        raise SystemExit("--seeds is at least 1, --rows at least 50")
    say = partial(print, file=sys.stderr, flush=True)
    results = measure(names, models, options.seeds, options.rows, say, options.json)
    print(table_text(results))
    if "chainrule" in models:
        print(f"\n{verdict(results)}")


if __name__ == "__main__":
    main()
