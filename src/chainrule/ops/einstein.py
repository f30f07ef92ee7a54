"""Products of elements that are added up over axes named by letters: Einstein's sum, and what stands on it."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from chainrule.graph.types import size_of
from chainrule.ops.algebra import matmul
from chainrule.ops.build import is_traced, mismatch
from chainrule.ops.functions import sum
from chainrule.ops.shapes import diagonal, reshape, transpose, value


def einsum(subscripts: Any, *operands: Any) -> Any:
    """Return Einstein's sum: products of elements, added up over every letter that the result does not name.

    ``einsum("bij,bjk->bik", a, b)`` multiplies stacks of matrices. Without ``->`` the result has the letters that come
    once, in alphabetical order. Operands are joined from the left to the right; a letter twice in one operand is its
    diagonal. ``...`` stands for any further axes, which are broadcast together: ``einsum("...ij,jk->...ik", a, b)``.
    NumPy's other form, numbers in place of letters, is the same: ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _of_numbers((subscripts, *operands))
    values: Sequence[Any] = [value(x) for x in operands]
    if not is_traced(*values):
        return np.einsum(subscripts, *values)
    letters, result, values = _letters(subscripts, values)
    terms = [_own(x, own, _wanted(letters, result, i)) for i, (x, own) in enumerate(zip(values, letters, strict=True))]
    joined, have = terms[0]
    for place, (x, own) in enumerate(terms[1:], start=2):
        wanted = set(result).union(*(t[1] for t in terms[place:]))
        joined, have = _joined(joined, have, x, own, wanted)
    axes = tuple(have.index(letter) for letter in result)
    return joined if axes == tuple(range(len(axes))) else transpose(joined, axes)


def _of_numbers(arguments: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return the text and the operands that stand for operands each followed by the numbers of its axes."""
    operands, lists = arguments[0::2], list(arguments[1::2])
    result = None
    if len(arguments) % 2:
        operands, result = operands[:-1], arguments[-1]
    if not lists or not all(isinstance(own, list | tuple) for own in (*lists, () if result is None else result)):
        raise mismatch(
            "einsum: the first argument must be a text such as 'ij,jk->ik', or every operand be followed by a list of "
            "its axes' numbers: einsum(a, [0, 1], b, [1, 2], [0, 2])"
        )

    def text(own: Sequence[Any]) -> str:
        for number in own:
            if number is not Ellipsis and not (isinstance(number, int | np.integer) and 0 <= number < 52):
                raise mismatch(f"einsum: an axis has the number {number!r}; it must be a number from 0 to 51, or …")
        return "".join("..." if number is Ellipsis else ascii_letters[number] for number in own)

    if result is None:
        once = [number for own in lists for number in own if number is not Ellipsis]
        result = [number for number in sorted(set(once)) if once.count(number) == 1]
        result = [Ellipsis, *result] if any(Ellipsis in own for own in lists) else result
    return f"{','.join(map(text, lists))}->{text(result)}", operands


def _letters(subscripts: str, operands: Sequence[Any]) -> tuple[list[str], str, Sequence[Any]]:
    """Return the letters of every operand and of the result, and the operands; raise TypeMismatch for what misfits."""
    text = subscripts.replace(" ", "")
    left, arrow, result = text.partition("->")
    letters = left.split(",")
    for own in [*letters, result]:
        plain = own.replace("...", "", 1)
        if plain and not (plain.isascii() and plain.isalpha()):
            raise mismatch(f"einsum: {subscripts!r} holds something else than letters, '...', commas and one '->'")
    if len(letters) != len(operands):
        raise mismatch(f"einsum: {subscripts!r} names {len(letters)} operands, {len(operands)} were given")
    if not arrow:
        named = "".join(letters).replace(".", "")
        result = "".join(sorted(c for c in set(named) if named.count(c) == 1))
        result = f"...{result}" if "..." in left else result
    for i, (own, x) in enumerate(zip(letters, operands, strict=True)):
        count = len(own.replace("...", "", 1))
        if count > x.ndim or (count < x.ndim and "..." not in own):
            raise mismatch(f"einsum: operand {i} has {x.ndim} axes, {subscripts!r} gives it {count} letters")
    if "..." in text:
        letters, result, operands = _without_dots(subscripts, letters, result, operands)
    sizes: dict[str, Any] = {}
    for i, (own, x) in enumerate(zip(letters, operands, strict=True)):
        for letter, dim in zip(own, x.shape, strict=True):
            if sizes.setdefault(letter, dim) != dim:
                raise mismatch(f"einsum: {letter!r} stands for {sizes[letter]} and, in operand {i}, for {dim}")
    if len(set(result)) != len(result) or not set(result) <= set(sizes):
        raise mismatch(f"einsum: the result {result!r} must name letters of the operands, each once")
    return letters, result, operands


def _without_dots(
    subscripts: str, letters: list[str], result: str, operands: Sequence[Any]
) -> tuple[list[str], str, list[Any]]:
    """Put letters that nothing else has in the place of '...'; axes of 1 that others stretch are taken out."""
    counts = [x.ndim - len(own) + 3 if "..." in own else 0 for own, x in zip(letters, operands, strict=True)]
    most = sorted(counts)[-1]
    if most and "..." not in result:
        raise mismatch(f"einsum: {subscripts!r} must have '...' in its result too, where operands have further axes")
    free = [c for c in ascii_letters if c not in subscripts]
    fresh = "".join(free[:most])
    stretched, found, values = set(), [], []
    for own, x, count in zip(letters, operands, counts, strict=True):
        first = own.find("...")
        stretched |= {
            c for c, dim in zip(fresh[most - count :], x.shape[first : first + count], strict=True) if dim != 1
        }
    for own, x, count in zip(letters, operands, counts, strict=True):
        first, mine = own.find("..."), fresh[most - count :]
        gone = [first + i for i, c in enumerate(mine) if x.shape[first + i] == 1 and c in stretched]
        values.append(reshape(x, tuple(d for a, d in enumerate(x.shape) if a not in gone)) if gone else x)
        found.append(own.replace("...", "".join(c for i, c in enumerate(mine) if first + i not in gone)))
    return found, result.replace("...", fresh), values


def _wanted(letters: Sequence[str], result: str, mine: int) -> set[str]:
    return set(result).union(*(own for i, own in enumerate(letters) if i != mine))


def _own(x: Any, letters: str, wanted: set[str]) -> tuple[Any, str]:
    """Take the diagonal of a letter that comes twice, and add up over those that nothing else names."""
    for letter in sorted(set(letters)):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            x = diagonal(x, first, second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    axes = tuple(i for i, letter in enumerate(letters) if letter not in wanted)
    return (sum(x, axes), "".join(c for c in letters if c in wanted)) if axes else (x, letters)


def _joined(a: Any, own: str, b: Any, other: str, wanted: set[str]) -> tuple[Any, str]:
    """Multiply two operands, and add up over the letters that both have and nothing else names."""
    both = [c for c in own if c in other]
    batch, along = [c for c in both if c in wanted], [c for c in both if c not in wanted]
    rows, columns = [c for c in own if c not in both], [c for c in other if c not in both]
    size = {**dict(zip(own, a.shape, strict=True)), **dict(zip(other, b.shape, strict=True))}
    if not along:  # a product of elements, without a sum
        left, right = (
            transpose(x, [letters.index(c) for c in order])
            for x, letters, order in ((a, own, [*batch, *rows]), (b, other, [*batch, *columns]))
        )
        left = reshape(left, (*left.shape, *(1,) * len(columns)))
        right = reshape(right, (*(size[c] for c in batch), *(1,) * len(rows), *(size[c] for c in columns)))
        return left * right, "".join([*batch, *rows, *columns])

    def grouped(x: Any, letters: str, *groups: list[str]) -> Any:
        moved = transpose(x, [letters.index(c) for group in (batch, *groups) for c in group])
        return reshape(
            moved, (*(size[c] for c in batch), *(size_of(tuple(size[c] for c in group)) for group in groups))
        )

    product = matmul(grouped(a, own, rows, along), grouped(b, other, along, columns))
    letters = [*batch, *rows, *columns]
    return reshape(product, tuple(size[c] for c in letters)), "".join(letters)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Return the product of two values, added up along pairs of axes."""
    a, b = value(a), value(b)
    if isinstance(axes, int | np.integer):
        left, right = list(range(a.ndim - int(axes), a.ndim)), list(range(int(axes)))
    else:
        ours, others = ([axis] if isinstance(axis, int | np.integer) else list(axis) for axis in axes)
        left, right = [int(i) % a.ndim for i in ours], [int(i) % b.ndim for i in others]
    if len(left) != len(right):
        raise mismatch(f"tensordot: {len(left)} axes of a do not pair with {len(right)} of b")
    names = [chr(97 + i) for i in range(a.ndim)]
    further = [chr(97 + a.ndim + i) for i in range(b.ndim)]
    for i, j in zip(left, right, strict=True):
        further[j] = names[i]
    kept = [c for i, c in enumerate(names) if i not in left] + [c for i, c in enumerate(further) if i not in right]
    return einsum(f"{''.join(names)},{''.join(further)}->{''.join(kept)}", a, b)


def inner(a: Any, b: Any) -> Any:
    """Return the sums of products along the last axes of two values."""
    a, b = value(a), value(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, ((-1,), (-1,)))
