"""Index arithmetic on channel ids: properties, and NumPy as the reference."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mindspore_gs.graph.ids import NONE, along, compress, connected, expand, none_ids

arrays = npst.arrays(np.int64, npst.array_shapes(min_dims=1, max_dims=4, max_side=4), elements=st.integers(NONE, 3))


@given(arrays)
def test_what_is_compressed_expands_to_the_same(ids):
    np.testing.assert_array_equal(expand(compress(ids), ids.shape), ids)


@given(arrays)
def test_no_axis_can_be_compressed_further(ids):
    small = compress(ids)
    assert small.ndim == ids.ndim
    for axis, size in enumerate(small.shape):
        assert size == 1 or (small != small.take([0], axis=axis)).any()
    assert compress(small).shape == small.shape


@given(arrays, st.integers(0, 3))
def test_compressing_a_broadcast_view_gives_back_what_was_broadcast(ids, axis):
    ids = compress(ids)
    shape = tuple(n if n > 1 else 3 for n in ids.shape)
    np.testing.assert_array_equal(compress(np.broadcast_to(ids, shape)), ids)


@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_ids_along_an_axis(size, rank, data):
    axis = data.draw(st.integers(-rank, rank - 1))
    vector = np.array(data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size)))
    ids = compress(vector.reshape([-1 if k == axis % rank else 1 for k in range(rank)]))
    np.testing.assert_array_equal(along(ids, axis, size), vector)
    if len(set(vector.tolist())) > 1 and rank > 1:
        assert along(ids, axis + 1 if axis + 1 < rank else axis - 1, size) is None


def test_a_tensor_without_channels_has_none_at_every_position():
    assert none_ids(3).shape == (1, 1, 1)
    np.testing.assert_array_equal(expand(none_ids(2), (2, 3)), np.full((2, 3), NONE))


@st.composite
def edge_lists(draw):
    size = draw(st.integers(1, 30))
    ids = st.integers(0, size - 1)
    pairs = draw(st.lists(st.lists(st.tuples(ids, ids), min_size=1, max_size=8), max_size=6))
    return size, [(np.array([a for a, _ in part]), np.array([b for _, b in part])) for part in pairs]


def reference(size, edges):
    """Union-find, the slow way."""
    label = list(range(size))
    for left, right in edges:
        for a, b in zip(left.tolist(), right.tolist()):
            low, high = sorted((label[a], label[b]))
            label = [low if value == high else value for value in label]
    return label


@given(edge_lists())
@settings(max_examples=200)
def test_components_are_those_of_union_find(case):
    size, edges = case
    assert connected(size, edges).tolist() == reference(size, edges)


@given(edge_lists())
def test_the_label_is_the_smallest_id_of_the_component(case):
    labels = connected(*case)
    assert (labels <= np.arange(len(labels))).all()
    assert (labels[labels] == labels).all()
    for left, right in case[1]:
        assert (labels[left] == labels[right]).all()


def test_a_long_chain_is_one_component():
    n = 5000
    order = np.random.default_rng(0).permutation(n)
    assert set(connected(n, [(order[:-1], order[1:])]).tolist()) == {0}
