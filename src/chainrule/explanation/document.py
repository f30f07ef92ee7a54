"""A derivation as plain data, for other programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from chainrule.explanation.derivation import Derivation
from chainrule.explanation.story import factored, norms, told

VERSION = 1


def derivation_json(d: Derivation) -> dict[str, Any]:
    """Return a derivation as data that ``json.dumps`` takes; ``version`` counts changes of its form."""
    data: dict[str, Any] = {
        "version": VERSION, "kind": d.asked.kind, "of": d.asked.name, "index": list(d.asked.index), "title": d.title,
        "about": d.about, "value": d.value, "formula": d.formula, "substituted": d.substituted, "step": d.scene.step,
        "rows": None if d.scene.rows is None else [int(r) for r in d.scene.rows], "count": d.scene.count,
        "by_row": [{**asdict(part), "part": part.part} for part in d.by_row],
        "by_use": [asdict(part) for part in d.by_use], "penalties": dict(d.penalties), "notes": list(d.notes),
    }  # fmt: skip
    if d.trail is not None:
        data["cuts"] = {
            layer: {
                "units": [{"unit": u.label, "part": u.part} for u in cut.units],
                "around": cut.around,
                "total": cut.total,
            }
            for layer, cut in ((layer, d.cut(layer)) for layer in d.layers)
        }
    if d.trail is not None and d.too_large:
        data["notes"].append(d.too_large)
    elif d.trail is not None:
        formula, numbers = factored(d)
        data |= {"formula": formula, "substituted": numbers}
        data["paths"] = {
            "row": d.scene.number(d.row), "count": d.paths.count, "mass": d.paths.mass, "covered": d.paths.covered,
            "total": d.paths.total, "largest": [_path(d, path) for path in d.paths],
        }  # fmt: skip
        data["jacobians"] = [
            {"from": start, "to": end, "shape": list(shape), "norm": norm, "largest": largest}
            for start, end, shape, norm, largest in norms(d)
        ]
    if d.check is not None:
        data["check"] = {"h": d.check.h, "numeric": d.check.numeric, "difference": d.check.difference}
    if d.update is not None:
        data["update"] = {
            "before": d.update.before, "after": d.update.after, "rule": d.update.rule, "parts": dict(d.update.parts),
        }  # fmt: skip
    plain: dict[str, Any] = _plain(data)
    return plain


def _plain(value: Any) -> Any:
    """Return data as JSON has it: a number that is not finite is null."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _path(d: Derivation, path: Any) -> dict[str, Any]:
    story = told(d, path)
    return {
        "route": list(story.route), "product": story.product,
        "factors": [{"of": s.symbol, "name": s.name, "value": s.value} for s in story.steps],
    }  # fmt: skip
