"""Where in the user's code are we? Asked once for every node, so it must cost well under a microsecond."""

from __future__ import annotations

import os
import sys
from types import CodeType

from chainrule.graph.node import Place

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_inside: dict[CodeType, bool] = {}


def is_inside(code: CodeType) -> bool:
    """Is this code chainrule's own?"""
    inside = _inside.get(code)
    if inside is None:
        inside = _inside[code] = code.co_filename.startswith(_PACKAGE) or code.co_filename.startswith("<__array")
    return inside


def user_place() -> Place | None:
    """Return the innermost frame that is not chainrule's own; resolving it to a line is left for later."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not (_inside[code] if code in _inside else is_inside(code)):  # a call for each frame would cost as much
            return Place(code, frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]
    return None
