"""Constraints and penalties as texts: what each means, and what is said of one that means nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import constrain as ct
from chainrule.errors import TrainingError

SETS: list[tuple[str, list[Any]]] = [
    ("l2<=4", [ct.L2Ball(4.0)]),
    (" L2 ≤ 4.5e0 ", [ct.L2Ball(4.5)]),
    ("l2<=4 per layer", [ct.L2Ball(4.0, per="layer")]),
    ("l1<=3", [ct.L1Ball(3.0)]),
    ("linf<=.5", [ct.LInfBall(0.5)]),
    ("maxnorm<=2", [ct.MaxNorm(2.0)]),
    ("max-norm<=2", [ct.MaxNorm(2.0)]),
    ("group<=3", [ct.GroupL2Ball(3.0)]),
    ("group<=3 per unit", [ct.GroupL2Ball(3.0, "unit")]),
    ("box<=1", [ct.Box(-1.0, 1.0)]),
    ("-1<=w<=2", [ct.Box(-1.0, 2.0)]),
    ("w <= 2", [ct.Box(None, 2.0)]),
    ("w>=-0.5", [ct.Box(-0.5, None)]),
    ("-0.5<=w", [ct.Box(-0.5, None)]),
    ("nonnegative", [ct.NonNegative()]),
    ("simplex", [ct.Simplex(1.0)]),
    ("simplex=2 per unit", [ct.Simplex(2.0, per="unit")]),
    ("cardinality<=20", [ct.Cardinality(20)]),
    ("spectral<=1", [ct.SpectralBall(1.0)]),
    ("nuclear<=5", [ct.NuclearBall(5.0)]),
    ("l2<=4 per unit, l1<=30,nonnegative", [ct.L2Ball(4.0, per="unit"), ct.L1Ball(30.0), ct.NonNegative()]),
]


@pytest.mark.parametrize(("text", "meant"), SETS, ids=lambda v: v if isinstance(v, str) else "")
def test_sets(text: str, meant: list[Any]) -> None:
    assert ct.sets_of(text) == meant


def test_the_number_of_a_ball_is_its_radius_and_that_of_a_penalty_its_lambda() -> None:
    w = {"w": np.array([3.0, 4.0])}
    (ball,) = ct.sets_of("l2<=2.5")
    nearest, _ = ball.covering({"w": None}).project(w)
    assert np.linalg.norm(nearest["w"]) == pytest.approx(2.5, rel=1e-12)
    values = [p.covering({"w": None}).value(w) for p in ct.penalties_of("0.5*l1 + 0.1*l2")]
    assert values == [pytest.approx(0.5 * 7.0), pytest.approx(0.1 * 25.0)]  # λ Σ w², no ½


def test_penalties() -> None:
    assert ct.penalties_of("0.001*l1") == [0.001 * ct.L1()]
    assert ct.penalties_of("1e-3*l1+1e+0*l2 + .1·group") == [0.001 * ct.L1(), 1.0 * ct.SquaredL2(), 0.1 * ct.GroupL2()]
    assert ct.penalties_of("0.1*group per unit") == [0.1 * ct.GroupL2(groups="unit")]
    assert ct.penalties_of("0*l1") == [0.0 * ct.L1()]


def test_objects_and_lists() -> None:
    ball, penalty = ct.L2Ball(3.0, per="unit"), 0.1 * ct.L1()
    assert ct.sets_of(None) == ct.penalties_of(None) == []
    assert ct.sets_of(ball) == [ball]
    assert ct.sets_of(["l1<=2", ball, "nonnegative, box<=1"]) == [
        ct.L1Ball(2.0), ball, ct.NonNegative(), ct.Box(-1.0, 1.0)
    ]  # fmt: skip
    assert ct.penalties_of(penalty) == [penalty]
    assert ct.penalties_of([penalty + 0.2 * ct.SquaredL2(), "0.3*l1"]) == [penalty, 0.2 * ct.SquaredL2(), 0.3 * ct.L1()]


def test_what_it_is_for_and_what_it_covers() -> None:
    assert ct.sets_of("l2<=4, l1<=3 per network", per="unit") == [ct.L2Ball(4.0, per="unit"), ct.L1Ball(3.0)]
    assert ct.sets_of("l2<=4", parameters="all") == [ct.L2Ball(4.0, parameters="all")]
    assert ct.sets_of("box<=4", parameters=["hidden1.*"]) == [ct.Box(-4.0, 4.0, parameters=["hidden1.*"])]
    assert ct.penalties_of("1*l1", parameters="biases") == [ct.L1(parameters="biases")]


WRONG_SETS: list[tuple[Any, str]] = [
    ("l3<=4", "there is no constraint 'l3'; there are: l2, l1, linf"),
    ("maxnrm<=2", "did you mean 'maxnorm'?"),
    ("l2 4", "did you mean 'l2'?"),
    ("l2", "'l2' has no limit that is a number; write 'l2<=4'"),
    ("l2<=", "has no limit that is a number"),
    ("l2<=four", "has no limit that is a number"),
    ("l2<=-4", "the limit is a finite number greater than 0"),
    ("l2<=0", "the limit is a finite number greater than 0"),
    ("l1<=nan", "the limit is a finite number greater than 0"),
    ("l1<=inf", "the limit is a finite number greater than 0"),
    ("l2<4", "the limit of l2 is written <=: 'l2<=4'"),
    ("l2=4", "the limit of l2 is written <="),
    ("l2>=4", "the limit of l2 is written <="),
    ("cardinality<=2.5", "a whole number of at least 1"),
    ("cardinality<=0", "a whole number of at least 1"),
    ("nonnegative<=3", "nonnegative has no number; write 'nonnegative'"),
    ("w", "write '-1<=w<=1'"),
    ("nan<=w", "write '-1<=w<=1'"),
    ("2<=w<=1", "low is 2, more than high"),
    ("<=4", "does not say of what it is the limit"),
    ("", "a constraint is empty"),
    ("l2<=4,", "a constraint is empty"),
    ("0.1*l2", "is a penalty"),
    ("l2<=4 per", "'l2<=4 per' does not say what it is for: per network, per layer"),
    ("l2<=4 per units", "per is 'units'; did you mean 'unit'?"),
    ("box<=1 per unit", "box has no per: it is for each weight by itself"),
    ("spectral<=1 per layer", "spectral has no per: it is for each weight matrix by itself"),
    ("group<=3 per layer", "group is per input or per unit, not per 'layer'"),
    (4, "constraint is 4; give a text such as 'l2<=4'"),
    (ct.L2Ball, "constraint is <class"),
    (0.1 * ct.L1(), "constraint is L1"),
]


@pytest.mark.parametrize(("given", "message"), WRONG_SETS, ids=lambda v: str(v)[:30])
def test_no_set(given: Any, message: str) -> None:
    with pytest.raises(TrainingError) as error:
        ct.sets_of(given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("l1", "'l1' is not λ*R(w); write '0.001*l1'"),
        ("0.1", "is not λ*R(w)"),
        ("l1*0.1", "is not λ*R(w)"),
        ("0.1*l9", "there is no penalty 'l9'; there are: l2, l1, group"),
        ("0.1*gruop", "did you mean 'group'?"),
        ("0.1*linf", "linf is a set and no penalty; penalties are: l2, l1, group"),
        ("-0.1*l1", "λ is a finite number of at least 0"),
        ("inf*l1", "λ is a finite number of at least 0"),
        ("0.1*l1 per unit", "the penalty l1 has no per"),
        ("l2<=4", "is a constraint, not a penalty"),
        ("0.1*l1 +", "a penalty is empty"),
        ("", "a penalty is empty"),
        (4, "penalty is 4; give a text such as '0.001*l1'"),
        (ct.L2Ball(1.0), "penalty is L2Ball"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_no_penalty(given: Any, message: str) -> None:
    with pytest.raises(TrainingError) as error:
        ct.penalties_of(given)
    assert message in str(error.value)


def test_per_beside_a_set_of_ones_own_is_refused() -> None:
    with pytest.raises(TrainingError, match="per is for constraints that are texts"):
        ct.sets_of(ct.L2Ball(1.0), per="unit")


def test_every_kind_is_told_by_its_example() -> None:
    for kind in ct.KINDS.values():
        (found,) = ct.sets_of(kind.example)
        assert hasattr(found, "project")
        for per in kind.per:
            assert kind.limited(1.0, per).settings()
        if kind.penalty is not None:
            assert kind.weighed(0.5).strength == 0.5
