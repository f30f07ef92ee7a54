"""Random numbers are functions of a key and counters: the same in every tile, thread and machine."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import Type, n
from chainrule.ops import fold, key, normal, random_bits, stream, uniform
from chainrule.ops.random import counters, threefry

KEY = key(12345)


@pytest.mark.parametrize(
    ("key_words", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_vectors(key_words, counter, expected):
    """Random123's known-answer file, threefry2x32 with 20 rounds."""
    assert tuple(map(int, threefry(*key_words, *counter))) == expected
    many = threefry(*key_words, np.full(3, counter[0], np.uint32), np.full(3, counter[1], np.uint32))
    assert many[0].tolist() == [expected[0]] * 3
    assert many[1].tolist() == [expected[1]] * 3
    bits = random_bits(np.array(key_words, np.uint32), np.array(counter[0], np.uint32), np.array(counter[1], np.uint32))
    assert int(bits) == expected[0]


def test_key_of_a_seed():
    assert key(0).tolist() == [0, 0]
    assert key(2**64 - 1).tolist() == [2**32 - 1, 2**32 - 1]
    assert key(7 * 2**32 + 5).tolist() == [7, 5]
    assert key(np.int64(7)).tolist() == [0, 7]
    for bad in (-1, 2**64, 1.5, True, "0"):
        with pytest.raises(TypeMismatch, match=r"a seed is an integer from 0 to 2\*\*64 - 1"):
            key(bad)


def test_uniform_is_in_the_half_open_interval_with_plausible_moments():
    u = uniform(KEY, (1000, 200))
    assert u.dtype == np.float64
    assert u.min() >= 0.0
    assert u.max() < 1.0
    # 200,000 draws: σ of the mean is 1/√(12·N) = 6.5e-4, of the variance √(1/180)/√N = 1.7e-4; five σ each
    assert abs(u.mean() - 1 / 2) < 5 * 6.5e-4
    assert abs(u.var() - 1 / 12) < 5 * 1.7e-4
    counts = np.histogram(u, bins=16, range=(0, 1))[0]
    chi_square = np.sum((counts - u.size / 16) ** 2 / (u.size / 16))
    assert chi_square < 44.3  # 15 degrees of freedom, p = 1e-4
    assert abs(np.corrcoef(u[:, 0], u[:, 1])[0, 1]) < 5 / np.sqrt(1000)
    assert abs(np.corrcoef(u[0], u[1])[0, 1]) < 5 / np.sqrt(200)


def test_uniform_in_f32_is_the_same_numbers():
    double, single = uniform(KEY, (50, 3)), uniform(KEY, (50, 3), "f32")
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single.astype(np.float64), double)


def test_normal_has_plausible_moments():
    z = normal(KEY, (1000, 100))
    assert np.all(np.isfinite(z))
    root = np.sqrt(z.size)
    assert abs(z.mean()) < 5 / root
    assert abs(z.var() - 1) < 5 * np.sqrt(2) / root
    assert abs(np.mean(z**3)) < 5 * np.sqrt(15) / root
    assert abs(np.mean(z**4) - 3) < 5 * np.sqrt(96) / root
    assert normal(KEY, (5,), "f32").dtype == np.float32


def test_normal_has_no_infinity_where_the_uniform_is_zero():
    """uniform is 0 once in 2²⁴ draws; 1 − u is then 1, with a finite logarithm: no radius is over √(2·24·log 2)."""
    assert np.abs(normal(KEY, (300, 1000))).max() <= np.sqrt(2 * 24 * np.log(2))


def test_other_keys_streams_and_counters_give_other_numbers():
    u = uniform(KEY, (100,))
    assert not np.array_equal(u, uniform(key(12346), (100,)))
    assert not np.array_equal(u, uniform(fold(KEY, np.uint32(0)), (100,)))
    assert len(np.unique(uniform(KEY, (100, 100)))) > 9990  # 10⁴ of 2²⁴ values: three pairs coincide on average
    assert int(stream("hidden1.dropout")) != int(stream("hidden2.dropout"))
    assert int(stream("")) == 0
    folded = [tuple(fold(KEY, np.uint32(i)).tolist()) for i in range(1000)]
    assert len(set(folded)) == 1000


def test_the_same_key_gives_the_same_bits_always():
    assert uniform(KEY, (4, 5)).tobytes() == uniform(KEY, (4, 5)).tobytes()
    # written down once: a change of these numbers changes every stored run
    assert (uniform(key(0), (2, 2)) * 2**24).tolist() == [[0x6B2001, _bits(0, 1)], [_bits(1, 0), _bits(1, 1)]]


def _bits(row: int, element: int) -> int:
    return int(threefry(0, 0, row, element)[0]) >> 8


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 4), (0,), (3, 0)])
@pytest.mark.parametrize("draw", [uniform, normal])
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_traced_equals_eager_bit_for_bit(shape, draw, dtype):
    eager = draw(KEY, shape, dtype)
    graph = cr.make_graph(lambda k: draw(k, shape, dtype), KEY)
    (result,) = REFERENCE.run(graph, [KEY])
    assert result.dtype == eager.dtype
    assert result.shape == eager.shape == shape
    assert result.tobytes() == eager.tobytes()
    assert np.asarray(REFERENCE.run_prepared(graph, [KEY])[0]).tobytes() == eager.tobytes()


def test_traced_keys_fold_like_eager_ones():
    graph = cr.make_graph(lambda k, step: fold(fold(k, step), int(stream("a"))), KEY, np.uint32(3))
    expected = fold(fold(KEY, np.uint32(3)), stream("a"))
    assert REFERENCE.run(graph, [KEY, np.uint32(3)])[0].tolist() == expected.tolist()


def test_tiles_draw_the_same_bits_as_the_whole():
    whole = uniform(KEY, (10, 4))
    for tile in (slice(0, 3), slice(3, 10), slice(9, 10)):
        rows = np.arange(10, dtype=np.uint32)[tile]
        assert uniform(KEY, (len(rows), 4), rows=rows).tobytes() == whole[tile].tobytes()
    shuffled = np.random.default_rng(0).permutation(10).astype(np.uint32)
    np.testing.assert_array_equal(uniform(KEY, (10, 4), rows=shuffled), whole[shuffled])


def test_traced_tiles_of_unknown_length_draw_the_same_bits():
    whole = uniform(KEY, (10, 4))
    graph = cr.make_graph(lambda k, rows: uniform(k, (n, 4), rows=rows), KEY, Type("u32", (n,)))
    assert graph.outputs[0].type == Type("f64", (n, 4))
    for start, stop in ((0, 10), (0, 4), (4, 9), (9, 10)):
        (tile,) = REFERENCE.run(graph, [KEY, np.arange(start, stop, dtype=np.uint32)])
        assert tile.tobytes() == whole[start:stop].tobytes()
    counted = cr.make_graph(lambda k, x: uniform(k, x.shape) + 0 * x, KEY, Type("f64", (n, 4)))
    for rows in (1, 3, 10):
        np.testing.assert_array_equal(REFERENCE.run(counted, [KEY, np.zeros((rows, 4))])[0], whole[:rows])


def test_columns_do_not_depend_on_the_number_of_rows():
    np.testing.assert_array_equal(uniform(KEY, (3, 4)), uniform(KEY, (9, 4))[:3])


def test_counters():
    row, element = counters((2, 3))
    assert row.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert element.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert row.dtype == element.dtype == np.uint32
    with pytest.raises(TypeMismatch, match="only the first axis can be n"):
        counters((2, n))


def test_wrong_keys_are_refused():
    for bad, text in [(np.zeros(2), "f64[2]"), (np.zeros(3, np.uint32), "u32[3]"), (np.uint32(1), "u32[]")]:
        with pytest.raises(TypeMismatch) as caught:
            cr.make_graph(lambda k: fold(k, 1), bad)
        assert f"fold: key is {text}; a key is u32[2], for instance cr.key(0)" in str(caught.value)
        with pytest.raises(TypeMismatch, match="random_bits: key is"):
            cr.make_graph(lambda k: uniform(k, (2,)), bad)
    with pytest.raises(TypeMismatch, match=r"random_bits: row is u32\[2\], element is u32\[3\]; both must be u32"):
        cr.make_graph(lambda k: random_bits(k, np.zeros(2, np.uint32), np.zeros(3, np.uint32)), KEY)


def test_random_numbers_are_constants_to_calculus():
    def loss(x):
        mask = (uniform(KEY, (4,)) < 0.5).astype(float)
        return np.sum(x * mask)

    def traced_key(x, k):
        return np.sum(x * (uniform(k, (4,)) < 0.5).astype(np.float64))

    expected = (uniform(KEY, (4,)) < 0.5).astype(float)
    np.testing.assert_array_equal(cr.grad(loss)(np.ones(4)), expected)
    np.testing.assert_array_equal(cr.grad(traced_key)(np.ones(4), KEY), expected)
