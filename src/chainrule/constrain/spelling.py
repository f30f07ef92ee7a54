"""Constraints, penalties and methods as texts: "l2<=4", "l1<=3 per layer, nonnegative", "0.001*l1 + 0.01*l2".

The number of a ball is its radius: ``l2<=4`` is ‖w‖ ≤ 4, ``L2Ball(4.0)``. That of a penalty is its λ: ``0.01*l2`` is
0.01·Σ w², ``0.01 * SquaredL2()``, without ½.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any

from chainrule.constrain.balls import GroupL2Ball, L1Ball, L2Ball, LInfBall, MaxNorm
from chainrule.constrain.elementwise import Box, Cardinality, NonNegative, Simplex
from chainrule.constrain.inequalities import as_inequality
from chainrule.constrain.lagrangian import AugmentedLagrangian, Lagrangian
from chainrule.constrain.matrices import NuclearBall, SpectralBall
from chainrule.constrain.penalties import L1, GroupL2, SquaredL2
from chainrule.constrain.selection import PER, Per
from chainrule.errors import TrainingError
from chainrule.learn.protocols import MinMax

Chosen = str | Sequence[str]
"""Which parameters: ``"weights"``, ``"all"``, ``"biases"``, names or patterns."""


@dataclass(frozen=True)
class Kind:
    """What a name stands for: a set, a penalty, or both with the same R; and the sentence that says which."""

    name: str
    set: Callable[..., Any]
    penalty: Callable[..., Any] | None
    per: tuple[Per, ...]
    """What the limit may be for, the first of them where nothing is said; empty where there is nothing to choose."""
    says: str
    needs: str = "<="
    """How its number follows: ``<=``, ``=`` (which may be left out), or "" where it has none."""
    example: str = ""

    def limited(self, number: float | None = None, per: str | None = None, parameters: Chosen = "weights") -> Any:
        """Return the set with a limit: ``KINDS["l2"].limited(4.0)`` is ``L2Ball(4.0)``."""
        more = self._chosen(per) | {"parameters": parameters}
        return self.set(**more) if number is None else self.set(number, **more)

    def weighed(self, strength: float, per: str | None = None, parameters: Chosen = "weights") -> Any:
        """Return the penalty with a λ: ``KINDS["l2"].weighed(0.01)`` is ``0.01 * SquaredL2()``."""
        if self.penalty is None:
            raise TrainingError(f"{self.name} is a set and no penalty; penalties are: {', '.join(PENALTIES)}")
        more = self._chosen(per) if self.name == "group" else {}
        if per is not None and not more:
            raise TrainingError(f"the penalty {self.name} has no per: it is one sum over all that it covers")
        return strength * self.penalty(**more, parameters=parameters)

    def _chosen(self, per: str | None) -> dict[str, Any]:
        if per is None:
            return {}
        if per not in PER:
            near = get_close_matches(per, PER, n=1)
            hint = f"did you mean {near[0]!r}? It is" if near else "it is"
            raise TrainingError(f"per is {per!r}; {hint} one of {', '.join(PER)}")
        if not self.per:
            each = "each weight matrix" if self.name in ("spectral", "nuclear") else "each weight"
            raise TrainingError(
                f"{self.name} has no per: it is for {each} by itself. Leave per={per!r} out; beside other sets, say "
                f"it of one: 'l2<=4 per {per}, {self.example}'"
            )
        if per not in self.per:
            raise TrainingError(f"{self.name} is per {' or per '.join(self.per)}, not per {per!r}")
        return {"groups" if self.name == "group" else "per": per}


def _box(limit: float, **more: Any) -> Box:
    return Box(-limit, limit, **more)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("l2", L2Ball, SquaredL2, PER, "‖w‖ ≤ r: the length of the weights; as a penalty λ Σ w²", example="l2<=4"),
        Kind("l1", L1Ball, L1, PER, "Σ |w| ≤ r: many weights become 0; as a penalty λ Σ |w|", example="l1<=3"),
        Kind("linf", LInfBall, None, PER, "|wᵢ| ≤ r: no weight is larger", example="linf<=0.5"),
        Kind("maxnorm", MaxNorm, None, ("unit", "network", "layer", "input"),
             "‖w_unit‖ ≤ r: the incoming weights of each unit", example="maxnorm<=2"),
        Kind("group", GroupL2Ball, GroupL2, ("input", "unit"),
             "Σ_g ‖w_g‖ ≤ r: whole inputs become 0; as a penalty λ Σ_g ‖w_g‖", example="group<=3"),
        Kind("box", _box, None, (), "−r ≤ wᵢ ≤ r; of other limits -1<=w<=2", example="box<=1"),
        Kind("nonnegative", NonNegative, None, (), "wᵢ ≥ 0", "", "nonnegative"),
        Kind("simplex", Simplex, None, PER, "wᵢ ≥ 0 and Σ wᵢ = r, 1 where nothing is said", "=", "simplex=1"),
        Kind("cardinality", Cardinality, None, PER,
             "at most k weights are not 0; not convex", example="cardinality<=20"),
        Kind("spectral", SpectralBall, None, (),
             "σ₁ ≤ r: the largest singular value of each weight matrix; with SGD", example="spectral<=1"),
        Kind("nuclear", NuclearBall, None, (),
             "Σ σᵢ ≤ r: the singular values of each weight matrix; with SGD", example="nuclear<=5"),
    )
}  # fmt: skip
"""The names that texts may have: ``KINDS["l2"].limited(4.0)``, ``KINDS["l2"].weighed(0.01)``, ``.says`` in words."""
PENALTIES = tuple(name for name, kind in KINDS.items() if kind.penalty is not None)
ALIASES = {"l0": "cardinality", "groupl2": "group", "squaredl2": "l2"}
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|nan)"
_LIMIT = re.compile(rf"[^<>=*]*?(?P<sign><=|>=|==|<|>|=)\s*(?P<number>{NUMBER})", re.I)
_BETWEEN = re.compile(rf"(?:(?P<low>{NUMBER})\s*<=\s*)?w(?:\s*<=\s*(?P<high>{NUMBER}))?", re.I)
_ABOVE = re.compile(rf"w\s*>=\s*(?P<low>{NUMBER})", re.I)
_WEIGHED = re.compile(rf"(?P<number>{NUMBER})\s*\*\s*(?P<name>[^*]+)", re.I)
_PER = re.compile(r"(?P<rest>.*?)\s+per\s+(?P<per>\S+)", re.I)


def kind_of(name: str, what: str = "constraint") -> Kind:
    """Return what a name stands for; raise TrainingError for one that is not known, with the nearest and the list."""
    plain = re.sub(r"[-_ ]", "", name.strip().lower())
    plain = ALIASES.get(plain, plain)
    if plain in KINDS:
        return KINDS[plain]
    known = PENALTIES if what == "penalty" else tuple(KINDS)
    near = get_close_matches(plain, known, n=1)
    hint = f"did you mean {near[0]!r}? There are" if near else "there are"
    raise TrainingError(f"there is no {what} {name.strip()!r}; {hint}: {', '.join(known)}")


def sets_of(given: Any, *, per: str | None = None, parameters: Chosen = "weights") -> list[Any]:
    """Return the sets that a text names, or a list of texts and sets; a set is taken as it is.

    Args:
        given: ``"l2<=4"``, where 4 is the radius r of ‖w‖ ≤ r; ``"l1<=3"``, ``"linf<=0.5"``, ``"maxnorm<=2"``,
            ``"group<=3"`` (groups of outgoing weights, of each input), ``"box<=1"``, ``"-1<=w<=2"``,
            ``"nonnegative"``, ``"cardinality<=20"``, ``"spectral<=1"``, ``"nuclear<=5"``, ``"simplex"``. Several are
            joined by commas; each may say what it is for, ``"l2<=4 per layer"``. None is no set.
        per: what the texts that do not say it are for: ``"network"``, ``"layer"``, ``"unit"`` or ``"input"``.
        parameters: what the texts cover, as for ``L2Ball``.

    Raises:
        TrainingError: what a text cannot mean, with what to write.

    >>> print(*sets_of("l2<=4 per layer, -1<=w<=2"))
    L2Ball(4, per='layer') Box(-1.0, 2.0)
    """
    found: list[Any] = []
    for member in _listed(given):
        if isinstance(member, str):
            pieces = [piece.strip() for piece in member.replace("≤", "<=").replace("≥", ">=").split(",")]
            found += [_set(piece, per, parameters) for piece in pieces]
        elif callable(getattr(member, "project", None)) and not isinstance(member, type):
            if per is not None:
                raise TrainingError(f"per is for constraints that are texts; {member} says itself what it is for")
            found.append(member)
        else:
            raise TrainingError(
                f"constraint is {member!r:.60}; give a text such as 'l2<=4', a set such as cr.constrain.L2Ball(4.0), "
                "or a list of them"
            )
    return found


def penalties_of(given: Any, *, parameters: Chosen = "weights") -> list[Any]:
    """Return the penalties that a text names, or a list of texts and penalties; a penalty is taken as it is.

    Args:
        given: ``"0.001*l1"`` is 0.001·Σ|w|; ``"0.01*l2"`` is 0.01·Σw², without ½; ``"0.01*group"`` is 0.01·Σ_g ‖w_g‖
            over the outgoing weights of each input (``"0.01*group per unit"``: the incoming ones of each unit). Sums
            are written with +, or with commas. None is no penalty.
        parameters: what the texts cover, as for ``L1``.

    Raises:
        TrainingError: what a text cannot mean, with what to write.

    >>> print(*penalties_of("0.001*l1 + 0.01*l2"))
    0.001 * L1() 0.01 * SquaredL2()
    """
    found: list[Any] = []
    for member in _listed(given):
        if isinstance(member, str):
            pieces = re.split(r"(?<![\d.][eE])\+|,", member.replace("·", "*"))
            found += [_penalty(piece.strip(), parameters) for piece in pieces]
        elif callable(getattr(member, "value", None)) and not isinstance(member, type):
            found.append(member)
        elif hasattr(member, "parts") and not hasattr(member, "project"):
            found += member.parts
        else:
            raise TrainingError(
                f"penalty is {member!r:.60}; give a text such as '0.001*l1', a penalty such as 0.001 * "
                "cr.constrain.L1(), or a list of them"
            )
    return found


METHODS = ("projection", "lagrangian", "augmented")
"""How a problem with constraints is solved, by name; projection is what training does by itself."""
RATE, DAMPING = 0.03, 1.0
"""η_λ and κ of a Lagrangian by name, of limits in units of their own size."""


def method_of(given: Any, sets: Sequence[Any] = (), dual_learning_rate: float | None = None) -> Any:
    """Return the method that a name stands for, None for projection; a method is taken as it is.

    Args:
        given: None, ``"projection"``, ``"lagrangian"``, ``"augmented"``, or an object such as ``Lagrangian(0.01)``.
        sets: the constraints. By name, the numbers go by their size s, the largest of r² (of ‖w‖² ≤ r²) and r (of other
            limits): η_λ = 0.03/s² and κ = 1/s² of the Lagrangian, ρ = 1/s² of the augmented one. So a limit that is
            violated by its own size moves s·λ by 0.03 in a step, whatever its unit.
        dual_learning_rate: η_λ of ``"lagrangian"``, in the place of that.

    Raises:
        TrainingError: for what is no method.

    >>> method_of("lagrangian", sets_of("l2<=2")).settings()["dual.learning_rate"]
    0.001875
    """
    if isinstance(given, str) and given not in METHODS:
        near = get_close_matches(given, METHODS, n=1)
        hint = f"did you mean {near[0]!r}? There are" if near else "there are"
        raise TrainingError(f"there is no method {given!r}; {hint}: {', '.join(METHODS)}")
    if dual_learning_rate is not None and given != "lagrangian":
        raise TrainingError(f"a dual learning rate belongs to the method 'lagrangian', not to {given or 'projection'}")
    if given is None or given == "projection":
        return None
    square = max([_size(member) for member in sets], default=0.0) ** 2 or 1.0
    if given == "lagrangian":
        return Lagrangian(RATE / square if dual_learning_rate is None else dual_learning_rate, DAMPING / square)
    if given == "augmented":
        return AugmentedLagrangian(penalty=1.0 / square)
    if isinstance(given, type) or not isinstance(given, MinMax):
        raise TrainingError(
            f"method is {given!r:.60}; give {', '.join(map(repr, METHODS))}, or an object such as "
            "cr.constrain.Lagrangian(0.01)"
        )
    return given


def _size(member: Any) -> float:
    """Return the unit of a limit's g: of ‖w‖² − r² it is r²."""
    parts = getattr(member, "parts", None)
    if parts is not None:
        return max(_size(single) for single in parts)
    inequality = as_inequality(1, member)
    radius = getattr(member, "radius", 1.0)
    return 0.0 if inequality is None else radius**2 if isinstance(member, L2Ball) else radius


def _listed(given: Any) -> list[Any]:
    return [] if given is None else list(given) if isinstance(given, list | tuple) else [given]


def _told(piece: str, per: str | None) -> tuple[str, str | None]:
    """Return a piece without its own "per …", and what it is for."""
    if re.search(r"\sper$", piece, re.I):
        raise TrainingError(f"{piece!r} does not say what it is for: per {', per '.join(PER)}")
    own = _PER.fullmatch(piece)
    return (piece, per) if own is None else (own["rest"], own["per"].lower())


def _set(piece: str, per: str | None, parameters: Chosen) -> Any:
    if not piece:
        raise TrainingError(f"a constraint is empty; write {_examples()}, and a comma between two")
    text, per = _told(piece, per)
    between = _BETWEEN.fullmatch(text) or _ABOVE.fullmatch(text)
    if between is not None:
        ends = {k: float(v) for k, v in between.groupdict().items() if v is not None}
        if not ends or not all(map(isfinite, ends.values())):
            raise TrainingError(f"{piece!r} has no limit that is a number; write '-1<=w<=1', 'w<=1' or 'w>=0'")
        return Box(ends.get("low"), ends.get("high"), **KINDS["box"]._chosen(per), parameters=parameters)
    if "*" in text:
        raise TrainingError(f"{piece!r} is a penalty, λ*R(w), not a constraint, which is written 'l2<=4'")
    name = re.split(r"[<>=]", text)[0]
    if not name.strip():
        raise TrainingError(f"{piece!r} does not say of what it is the limit; write {_examples()}")
    kind, limit = kind_of(name), _LIMIT.fullmatch(text)
    if limit is None:
        if kind.needs == "<=" or name != text:
            raise TrainingError(f"{piece!r} has no limit that is a number; write {kind.example!r}")
        return kind.limited(None, per, parameters)
    if not kind.needs:
        raise TrainingError(f"{piece!r}: {kind.name} has no number; write {kind.example!r}")
    if limit["sign"] != kind.needs:
        raise TrainingError(f"{piece!r}: the limit of {kind.name} is written {kind.needs}: {kind.example!r}")
    number = float(limit["number"])
    _require_limit(kind, number, piece)
    return kind.limited(number, per, parameters)


def _require_limit(kind: Kind, number: float, piece: str) -> None:
    if kind.name == "cardinality" and not (isfinite(number) and number >= 1 and number == int(number)):
        raise TrainingError(f"{piece!r}: the limit is a whole number of at least 1, of weights that are not 0")
    if not (isfinite(number) and number > 0):
        raise TrainingError(f"{piece!r}: the limit is a finite number greater than 0: {kind.example!r}")


def _penalty(piece: str, parameters: Chosen) -> Any:
    if not piece:
        raise TrainingError("a penalty is empty; write '0.001*l1', and + between two")
    text, per = _told(piece, None)
    if re.search(r"[<>=≤]", text):
        raise TrainingError(f"{piece!r} is a constraint, not a penalty, which is written '0.001*l1'")
    weighed = _WEIGHED.fullmatch(text)
    if weighed is None:
        raise TrainingError(f"{piece!r} is not λ*R(w); write '0.001*l1', '0.01*l2' (λ Σ w²) or '0.01*group'")
    strength = float(weighed["number"])
    kind = kind_of(weighed["name"], "penalty")
    if not (isfinite(strength) and strength >= 0):
        raise TrainingError(f"{piece!r}: λ is a finite number of at least 0: '0.001*{kind.name}'")
    return kind.weighed(strength, per, parameters)


def _examples() -> str:
    return ", ".join(repr(kind.example) for kind in KINDS.values())
