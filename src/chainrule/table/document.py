"""Reading a stored document strictly: an absent, left-over or wrongly typed field is an error, never a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chainrule.errors import TableError


class Fields:
    """The fields of one JSON object, taken out one by one.

    Example:
        >>> fields = Fields({"name": "x", "scale": 2}, "column 1")
        >>> fields.text("name"), fields.number("scale"), fields.done()
        ('x', 2.0, None)
    """

    def __init__(self, document: object, what: str) -> None:
        if not isinstance(document, Mapping):
            raise TableError(f"{what}: expected an object with named fields, found {type(document).__name__}.")
        self.what = what
        self._left = dict(document)

    def take(self, name: str, *types: type) -> Any:
        """Return a field of one of `types` (exactly: a boolean is no integer)."""
        if name not in self._left:
            raise TableError(f"{self.what}: the field {name!r} is missing.")
        value = self._left.pop(name)
        if type(value) not in types:
            expected = " or ".join(each.__name__ for each in types)
            raise TableError(f"{self.what}: the field {name!r} is {value!r:.60}; expected {expected}.")
        return value

    def text(self, name: str) -> str:
        """Return a text field."""
        return str(self.take(name, str))

    def flag(self, name: str) -> bool:
        """Return a field that is true or false."""
        return bool(self.take(name, bool))

    def number(self, name: str) -> float:
        """Return a finite number."""
        value = self.take(name, int, float)
        try:
            number = float(value)
        except OverflowError:  # an integer of hundreds of digits
            number = math.inf
        if not math.isfinite(number):
            raise TableError(f"{self.what}: the field {name!r} is {number!r}; expected a finite number.")
        return number

    def items(self, name: str, *types: type) -> list[Any]:
        """Return a list whose items are each of one of `types`."""
        values: list[Any] = self.take(name, list)
        for value in values:
            if type(value) not in types or (isinstance(value, float) and not math.isfinite(value)):
                raise TableError(f"{self.what}: the field {name!r} has the item {value!r:.60}.")
        return values

    def done(self) -> None:
        """Raise unless every field was taken."""
        if self._left:
            raise TableError(f"{self.what}: unknown field {next(iter(self._left))!r}.")


def check_header(document: object, form: str, version: int) -> Fields:
    """Return the fields of a document whose `format` and `version` this version of chainrule can read."""
    fields = Fields(document, f"A stored {form.rpartition('.')[2]} encoder")
    found = fields.text("format")
    if found != form:
        raise TableError(f"{fields.what}: its format is {found!r}, not {form!r}.")
    number = fields.take("version", int)
    if number != version:
        remedy = "Update chainrule to read it." if number > version else "No such version was ever written."
        raise TableError(
            f"{fields.what}: it has version {number}, and this chainrule reads version {version}. {remedy}"
        )
    return fields
