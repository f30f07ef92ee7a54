"""The update of a parameter's element: what the optimizer makes of its gradient, and which part came from where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.explanation.derivation import Update
from chainrule.explanation.names import Asked
from chainrule.explanation.numbers import short, signed
from chainrule.explanation.scene import Scene
from chainrule.graph import flatten, leaf_names, tree_map, unflatten
from chainrule.learn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ClipNorm,
    ClipValue,
    Lion,
    Optimizer,
    RMSprop,
    Treatment,
)
from chainrule.learn.optimizers import clip_share, move, rated
from chainrule.learn.projection import project
from chainrule.learn.protocols import MinMax, Proximal
from chainrule.learn.treatment import EVEN, own_decay
from chainrule.nn.function import FunctionNetwork

Array = np.ndarray[Any, Any]
Parts = tuple[tuple[str, float], ...]


def explain_update(scene: Scene, what: Asked, optimizer: Optimizer, slope: float) -> Update:
    """Return the update of one element; ``slope`` is its gradient, penalties included.

    Optimizers that are known here say which part comes from which gradient; of any other the result alone is told.
    """
    if scene.run is not None and isinstance(scene.run.method, MinMax):
        raise TrainingError(
            f"a step of this run follows Σ λ∇g of its limits too, by {type(scene.run.method).__name__}, which is not "
            "yet explained; ask for the gradient of the loss alone (rows=[…])"
        )
    if not optimizer.has_steps:
        raise TrainingError(
            f"{type(optimizer).__name__} searches along a line: its step is no update of one gradient that could be "
            "split; leave the optimizer out to explain the gradient alone"
        )
    before = float(scene.leaves[what.name][what.index])
    for penalty, (_, rough) in zip(scene.objective.penalty, scene.penalty_slopes(what.name), strict=True):
        if isinstance(penalty, Proximal):  # it acts by what follows the step
            slope -= float(rough[what.index])
    treatment = _treatment(scene)
    if what.name in treatment.frozen:
        return Update(before, before, f"θ⁺ = θ: {what.name} is frozen", short(before))
    element = _Element(scene, what, optimizer, treatment, before, slope, slope)
    clipped, said = element.clipped()
    tell = TELL.get(type(clipped.optimizer))
    # An optimizer that is not known may look at the whole gradient, which it clips itself.
    reached = element.reached(element.whole_gradient()) if tell is None else clipped.reached(clipped.alone())
    if tell is None:
        told: Told = f"θ⁺ by {type(clipped.optimizer).__name__}", short(before), ()
    else:
        told = tell(clipped)
    rule, numbers, parts = told
    found = Update(before, reached, rule.replace("∂F/∂θ", "g") + said if said else rule, numbers, parts)
    found = found if _adds_up(found) else replace(found, parts=())
    follows = scene.objective.subject_to or any(isinstance(p, Proximal) for p in scene.objective.penalty)
    return _projected(element, found) if follows else found


def unmoved(scene: Scene, what: Asked) -> Update:
    """Return the update of a bias that is not learned."""
    before = float(scene.leaves[what.name][what.index])
    return Update(before, before, "θ⁺ = θ: biases stay as they are", "")


def after_step(scene: Scene, optimizer: Optimizer, gradient: Mapping[str, Array]) -> dict[str, Array]:
    """Return all parameters, by name, after a step along a gradient that is given for each of them."""
    element = _Element(scene, Asked("gradient", scene.names[0], ()), optimizer, _treatment(scene), 0.0, 0.0, 0.0)
    structure = flatten(element.parameters)[1]
    moved = element.moved(unflatten(structure, [gradient[name] for name in leaf_names(structure)]))
    leaves = flatten(element.treatment.merged(scene.parameters, moved))[0]
    return dict(zip(scene.names, map(np.asarray, leaves), strict=True))


def _projected(element: _Element, free: Update) -> Update:
    """Return the update with what the constraints make of it: the nearest point of their sets."""
    reached = element.reached(element.whole_gradient(), constrained=True)
    objective = element.scene.objective
    sets = ", ".join(map(str, objective.subject_to))
    rough = ", ".join(str(p) for p in objective.penalty if isinstance(p, Proximal))
    then = [f"the proximal step of {rough}"] if rough else []
    then += [f"the nearest point that keeps {sets}"] if sets else []
    parts = free.parts or (("from the step", free.after - free.before),)
    return replace(
        free, after=reached, rule=f"{free.rule},  then {' and '.join(then)}", substituted="",
        parts=(*parts, ("from the projection" if sets else "from the proximal step", reached - free.after)),
    )  # fmt: skip


def _adds_up(update: Update) -> bool:
    """Do the parts make up the step? What is told of them is not believed, it is checked."""
    size = max((abs(amount) for _, amount in update.parts), default=0.0)
    rounding = 1e-12 * (abs(update.before) + size)
    moved = update.after - update.before
    return not update.parts or abs(sum(amount for _, amount in update.parts) - moved) <= 1e-6 * size + rounding


@dataclass(frozen=True)
class _Element:
    """One element of one parameter about to be updated."""

    scene: Scene
    what: Asked
    optimizer: Optimizer
    treatment: Treatment
    before: float
    slope: float
    raw: float
    """The slope before any clipping."""
    share: float | None = None
    """What the gradient was multiplied with where it was clipped as a whole."""
    limit: float | None = None
    """What its elements were clipped to before that."""

    @cached_property
    def place(self) -> int:
        return leaf_names(flatten(self.parameters)[1]).index(self.what.name)

    @cached_property
    def parameters(self) -> Any:
        return self.treatment.trained(self.scene.parameters)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The optimizer's numbers in force: the run's, where it was given others than the optimizer has."""
        given = self.scene.settings or {}
        own = {**self.optimizer.settings(), **self.treatment.settings(self.optimizer.decays)}
        return {k: np.asarray(given.get(k, v), np.float64) for k, v in own.items()}

    @cached_property
    def state(self) -> Any:
        """The optimizer's state before the step: the run's own, or that of a beginning."""
        fresh = self.optimizer.init(self.parameters)
        state = self.scene.carried
        if state is None or state.keys() != fresh.keys():  # there is no step, or another optimizer took it
            return fresh
        return tree_map(lambda v: v.astype(np.float64) if v.dtype.kind == "f" else v, state)

    @property
    def numbers(self) -> dict[str, float]:
        return {key: float(value) for key, value in self.settings.items()}

    @property
    def rate(self) -> float:
        """η of this parameter: that of the schedule, times the parameter's factor."""
        settings = self.settings
        rate = self.optimizer.rate(self.state, self.scene.leaves[self.what.name], settings)
        return float(np.asarray(rate)) * float(settings.get(f"{self.what.name}.rate", 1.0))

    @property
    def decay(self) -> float:
        settings = self.settings
        factor = own_decay(settings, self.what.name)
        return float(settings["decay"]) * (1.0 if factor is None else float(factor))

    def old(self, key: str) -> float:
        return float(np.asarray(flatten(self.state[key])[0][self.place])[self.what.index])

    @property
    def time(self) -> int:
        return int(self.state["step"]) + 1

    def clipped(self) -> tuple[_Element, str]:
        """Return the element as the optimizer behind a clipping is given it, and what is to be said of that."""
        if isinstance(self.optimizer, ClipValue):
            limit = self.numbers["clip_value"]
            slope = float(np.clip(self.slope, -limit, limit))
            said = f",  g = {'∂F/∂θ' if self.share is None else 'that'} clipped to ±{short(limit)}: {signed(slope)}"
            inner, more = replace(self, optimizer=self.optimizer.optimizer, slope=slope, limit=limit).clipped()
            return inner, said + more
        if isinstance(self.optimizer, ClipNorm):
            if self.share is not None:
                raise TrainingError("an update behind two clippings by norm cannot be explained: leave out one of them")
            share = float(clip_share(self.whole_gradient(), self.settings["clip_norm"]))
            length, what = short(self.numbers["clip_norm"]), "∂F/∂θ" if self.limit is None else "that"
            said = f",  g = {short(share)} · {what} (clipped to the length {length})"
            inner = replace(self, optimizer=self.optimizer.optimizer, slope=share * self.slope, share=share)
            inner, more = inner.clipped()
            return inner, said + more
        return self, ""

    def whole_gradient(self) -> Any:
        """Return the gradient by every parameter that is trained, penalties included, as far as it is clipped here."""
        names = leaf_names(flatten(self.parameters)[1])
        slopes = [np.asarray(slope, np.float64) for slope in self.scene.slopes(names)]
        slopes[self.place][self.what.index] = self.raw
        if self.limit is not None:
            slopes = [np.clip(slope, -self.limit, self.limit) for slope in slopes]
        return unflatten(flatten(self.parameters)[1], slopes)

    def alone(self) -> Any:
        """Return a gradient that is 0 but for this element."""
        leaves, structure = flatten(tree_map(np.zeros_like, self.parameters))
        leaves[self.place] = np.array(leaves[self.place], np.float64)
        leaves[self.place][self.what.index] = self.slope
        return unflatten(structure, leaves)

    def reached(self, gradient: Any, constrained: bool = False) -> float:
        """Return the element after a step along a gradient."""
        after = flatten(self.moved(gradient, constrained))[0][self.place]
        return float(np.asarray(after)[self.what.index])

    def moved(self, gradient: Any, constrained: bool = False) -> Any:
        """Return the trained parameters after a step along a gradient; ``constrained``: projected onto the sets."""
        parameters, settings = self.parameters, self.settings
        direction, metric, _ = self.optimizer.update(gradient, self.state, parameters, settings)
        direction, metric = rated(self.treatment, direction, metric, settings)
        after = move(parameters, direction, metric)
        if not constrained:
            return after
        own, given = self.scene.objective.settings(), self.scene.settings or {}
        numbers = {k: np.asarray(given.get(k, v), np.float64) for k, v in own.items()}
        return project(self.scene.objective, after, metric, numbers)[0]


def _treatment(scene: Scene) -> Treatment:
    """Return how the parameters are trained: as in the run, or as the network's layers say."""
    if scene.run is not None:
        return scene.run.treatment
    network = scene.objective.network
    return EVEN if isinstance(network, FunctionNetwork) else Treatment.of(network, scene.x)


Told = tuple[str, str, Parts]


def _descent(e: _Element) -> Told:
    if not e.numbers.get("momentum"):
        sign = "−" if e.slope >= 0 else "+"
        return "θ⁺ = θ − η · ∂F/∂θ", f"{short(e.before)} {sign} {short(e.rate)} × {short(abs(e.slope))}", ()
    momentum, velocity = e.numbers["momentum"], e.old("velocity")
    mixed = f"{short(momentum)} × {signed(velocity)} {signed(e.slope, apart=True)}"
    rule, numbers = "θ⁺ = θ − η · v,  v = μ v + ∂F/∂θ", f"{short(e.before)} − {short(e.rate)} × ({mixed})"
    now, earlier = -e.rate * e.slope, -e.rate * momentum * velocity
    if isinstance(e.optimizer, SGD) and e.optimizer.nesterov:
        rule = "θ⁺ = θ − η · (∂F/∂θ + μ v⁺),  v⁺ = μ v + ∂F/∂θ"
        numbers = f"{short(e.before)} − {short(e.rate)} × ({signed(e.slope)} + {short(momentum)} × ({mixed}))"
        now, earlier = (1 + momentum) * now, momentum * earlier
    return rule, numbers, (("from this gradient", now), ("from the gradients before", earlier))


def _adam(e: _Element) -> Told:
    b1, b2, epsilon = e.numbers["beta1"], e.numbers["beta2"], e.numbers["epsilon"]
    mean, square, t = e.old("mean"), e.old("square"), e.time
    one, two = 1 - b1**t, 1 - b2**t
    spread = float(np.sqrt((b2 * square + (1 - b2) * e.slope**2) / two) + epsilon)
    mean_hat = (b1 * mean + (1 - b1) * e.slope) / one
    scale = e.rate / spread
    parts: Parts = (
        ("from this gradient", -scale * (1 - b1) * e.slope / one),
        ("from the gradients before (their mean)", -scale * b1 * mean / one),
    )
    if type(e.optimizer) is AdamW:
        parts = (*parts, ("from weight decay", -e.rate * e.decay * e.before))
    step = f"{short(e.before)} − {short(e.rate)} × {signed(mean_hat)} / {short(spread)}"
    rule, more = "θ⁺ = θ − η · m̂ / (√v̂ + ε)", ",  m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ)"
    if type(e.optimizer) is AdamW:
        rule += " − η · decay · θ"
        step += f" − {short(e.rate)} × {short(e.decay)} × {signed(e.before)}"
    return rule + more, f"{step}   (t = {t})", parts


def _rmsprop(e: _Element) -> Told:
    rho = e.numbers["rho"]
    inner, root = rho * e.old("square") + (1 - rho) * e.slope**2, "√v"
    if isinstance(e.optimizer, RMSprop) and e.optimizer.centered:
        inner, root = max(inner - (rho * e.old("mean") + (1 - rho) * e.slope) ** 2, 0.0), "√(v − m²)"
    spread = float(np.sqrt(inner)) + e.numbers["epsilon"]
    share = f"{signed(e.slope)} / {short(spread)}"
    if not e.numbers.get("momentum"):
        return f"θ⁺ = θ − η · ∂F/∂θ / ({root} + ε)", f"{short(e.before)} − {short(e.rate)} × {share}", ()
    momentum, velocity = e.numbers["momentum"], e.old("velocity")
    return (
        f"θ⁺ = θ − η · b,  b = μ b + ∂F/∂θ / ({root} + ε)",
        f"{short(e.before)} − {short(e.rate)} × ({short(momentum)} × {signed(velocity)} + {share})",
        (
            ("from this gradient", -e.rate * e.slope / spread),
            ("from the gradients before", -e.rate * momentum * velocity),
        ),
    )


def _adagrad(e: _Element) -> Told:
    spread = float(np.sqrt(e.old("square") + e.slope**2)) + e.numbers["epsilon"]
    numbers = f"{short(e.before)} − {short(e.rate)} × {signed(e.slope)} / {short(spread)}"
    return "θ⁺ = θ − η · ∂F/∂θ / (√v + ε),  v = Σ (∂F/∂θ)²", numbers, ()


def _lion(e: _Element) -> Told:
    """A sign cannot be split: which of two gradients made it what it is has no answer in parts."""
    b1 = e.numbers["beta1"]
    mixed = b1 * e.old("mean") + (1 - b1) * e.slope
    sign = float(np.sign(mixed))
    parts = ("from the sign of c", -e.rate * sign), ("from weight decay", -e.rate * e.decay * e.before)
    rule = "θ⁺ = θ − η · (sign(c) + decay · θ),  c = β₁ m + (1 − β₁) ∂F/∂θ"
    numbers = f"{short(e.before)} − {short(e.rate)} × (sign({signed(mixed)}) + {short(e.decay)} × {signed(e.before)})"
    return rule, numbers, parts


TELL: Mapping[type[Optimizer], Callable[[_Element], Told]] = {
    SGD: _descent, Adam: _adam, AdamW: _adam, RMSprop: _rmsprop, Adagrad: _adagrad, Lion: _lion,
}  # fmt: skip
"""Of these very optimizers the parts are known; one that is made from them may step in another way."""
