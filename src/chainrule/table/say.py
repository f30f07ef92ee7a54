"""Words for messages: lists, row numbers, and the name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import numpy as np


def listing(items: Iterable[object], limit: int = 8) -> str:
    """Return the items as an English list, shortened past `limit`.

    >>> listing(["a", "b", "c"]), listing(range(5), limit=3)
    ('a, b and c', '0, 1, 2 and 2 more')
    """
    said = [str(item) for item in items]
    if len(said) > limit:
        return f"{', '.join(said[:limit])} and {len(said) - limit} more"
    if len(said) < 2:
        return "".join(said)
    return f"{', '.join(said[:-1])} and {said[-1]}"


def at_rows(indices: Sequence[int] | Iterable[int], limit: int = 5) -> str:
    """Return 0-based row indices as the 1-based row numbers that a user counts.

    >>> at_rows([2]), at_rows([2, 7, 11])
    ('row 3', 'rows 3, 8 and 12')
    """
    numbers = [int(index) + 1 for index in indices]
    return f"row{'s' if len(numbers) != 1 else ''} {listing(numbers, limit)}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "row"), count(3, "class", "classes"), count(12000, "row")
    ('1 row', '3 classes', '12,000 rows')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` was probably meant to be, or None.

    >>> nearest("Specis", ["species", "island"]), nearest("zzz", ["species"])
    ('species', None)
    """
    folded: dict[str, str] = {}
    for each in names:
        folded.setdefault(each.casefold().strip(), each)
    found = difflib.get_close_matches(name.casefold().strip(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return " Did you mean x?" or nothing."""
    near = nearest(name, names)
    return "" if near is None else f" Did you mean {near!r}?"


def say(value: object) -> str:
    """Return a value as Python writes it, without NumPy's name around it.

    >>> import numpy as np
    >>> say(np.str_("a")), say(np.int64(2)), say(0.5)
    ("'a'", '2', '0.5')
    """
    return repr(value.item() if isinstance(value, np.generic) else value)


def a_kind(value: object) -> str:
    """Return the name of a value's type with its article.

    >>> a_kind(1), a_kind("x"), a_kind(None)
    ('an int', 'a str', 'a NoneType')
    """
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"  # a UUID, a ufunc
