"""What the deployed graph leaves out: training, and what is computed and thrown away."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import PrunerKfCompressAlgo
from mindspore_gs.errors import PruningError, TraceError
from mindspore_gs.graph import trace
from tests import couplings, unusual
from tests.by_hand import assert_same, reasons, silence, slim_by_group
from tests.helpers import image, randomise, same_state, state

SHAPE = (1, 3, 8, 8)

TABLE = {
    "returned in evaluation only": (unusual.EmbeddingInEvaluation, {
        "stem": (6, None), "conv": (8, "REACHES_OUTPUT"), "head": (5, "REACHES_OUTPUT")}),
    "returned in training only": (unusual.FeaturesInTraining, {
        "stem": (6, None), "conv": (8, "REACHES_OUTPUT"), "head": (5, "REACHES_OUTPUT")}),
    "idle in training": (unusual.IdleInTraining, {
        "stem": (6, None), "head last": (5, "REACHES_OUTPUT"), "conv": (8, None)}),
    "thrown away": (unusual.ThrownAway, {
        "stem": (8, None), "head": (4, "REACHES_OUTPUT"), "hidden": (6, None), "fc": (5, "UNSEEN")}),
    "a sum thrown away": (unusual.LastSumThrownAway, {
        "stem back.0 back.1": (8, None), "layers.0 layers.1": (6, None), "head": (4, "REACHES_OUTPUT")}),
    "thrown away in evaluation": (unusual.ThrownAwayInEvaluation, {
        "stem": (8, None), "head": (4, "REACHES_OUTPUT"), "hidden": (6, None), "fc": (5, "REACHES_OUTPUT")}),
    "named in training": (unusual.NamedInTraining, {
        "stem": (6, None), "conv": (8, None), "aux": (3, "REACHES_OUTPUT"), "head": (4, "REACHES_OUTPUT")}),
    "observed in training": (unusual.Observed, {"stem": (8, None), "head": (4, "REACHES_OUTPUT")}),
    "auxiliary head": (couplings.AuxiliaryHead, {
        "stem": (6, None), "aux": (4, "REACHES_OUTPUT"), "head": (4, "REACHES_OUTPUT")}),
}


@pytest.mark.parametrize("build, expected", TABLE.values(), ids=TABLE)
def test_groups_know_both_modes(build, expected, mode):
    assert reasons(build, SHAPE) == expected


@pytest.mark.parametrize("build", [unusual.ThrownAway, unusual.ThrownAwayInEvaluation])
@pytest.mark.parametrize("training", [False, True])
def test_a_hidden_head_is_sliced_too(build, training, mode):
    small, full = slim_by_group(build, (SHAPE,), "stem", {1, 6})
    for name in ("bn.gamma", "bn.beta"):
        silence(full, name, {1, 6})
    assert (small.hidden.weight.shape, small.head.weight.shape) == ((6, 6), (4, 6, 1, 1))
    assert_same(small, full, image(2, *SHAPE[1:]))
    small.set_train(training)
    small(image(2, *SHAPE[1:]))


def test_named_tuples_stay_what_they_are():
    small, _ = slim_by_group(unusual.NamedInTraining, (SHAPE,), "conv", {1, 6})
    assert small.aux.weight.shape == (3, 6)
    assert isinstance(small.set_train(True)(image(2, *SHAPE[1:])), unusual.Seen)
    net = PrunerKfCompressAlgo(input_shape=SHAPE).apply(randomise(unusual.NamedInTraining()))
    found = net.set_train(True)(image(4, *SHAPE[1:]))
    assert isinstance(found, unusual.Seen) and (found.scores.shape, found.features.shape) == ((4, 4), (4, 3))


def test_named_tuples_are_refused_where_graph_mode_would_train_nothing(graph_mode):
    """Its gradients through a named tuple are all 0, as MindSpore's own Graph mode has it for any network."""
    with pytest.raises(PruningError, match="returns a named tuple in training mode.*Return a tuple or a dict"):
        PrunerKfCompressAlgo(input_shape=SHAPE).apply(randomise(unusual.NamedInTraining()))
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = PrunerKfCompressAlgo(input_shape=SHAPE).apply(randomise(unusual.NamedInTraining())).set_train()
    assert net(image(4, *SHAPE[1:])).scores.shape == (4, 4)
    ms.set_context(mode=ms.GRAPH_MODE)
    with pytest.raises(ValueError, match="returns a named tuple in training mode"):
        net(image(4, *SHAPE[1:]))


def test_what_is_added_for_nothing_loses_the_same_channels():
    small, full = slim_by_group(unusual.LastSumThrownAway, (SHAPE,), "stem", {0, 5})
    for name in ("stem.weight", "back.0.weight", "back.1.weight"):
        silence(full, name, {0, 5})
    assert small.back[1].weight.shape == (6, 6, 1, 1)
    assert_same(small, full, image(2, *SHAPE[1:]))


def test_a_buffer_that_training_writes_is_sliced():
    small, _ = slim_by_group(unusual.Observed, (SHAPE,), "stem", {0, 1})
    before = small.largest.asnumpy().copy()
    small.set_train(True)
    small(100 * image(2, *SHAPE[1:]))
    assert before.shape == (6,) and (small.largest.asnumpy() >= before).all()
    assert not np.array_equal(small.largest.asnumpy(), before)


@pytest.mark.parametrize("build", [unusual.ThrownAway, unusual.Observed])
def test_looking_at_hidden_layers_leaves_no_trace(build):
    net = randomise(build())
    before = state(net)
    trace(net, SHAPE)
    assert same_state(before, state(net))
    assert not any(hasattr(cell, "gs_unseen") for _, cell in net.cells_and_names())


class TrainsInPython(nn.Cell):
    """Training reads a layer that the deployed network does not, in code that no file can hold."""

    def __init__(self):
        super().__init__()
        self.conv, self.extra, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)

    def construct(self, x):
        x = self.conv(x)
        if self.training and x.asnumpy().mean() < 1e6:
            x = x + self.extra(x)
        return self.head(x)


def test_what_only_training_reads_is_refused_where_it_cannot_be_seen():
    with pytest.raises(TraceError, match=r"nothing reads extra\.weight of TrainsInPython when it is deployed, and what "
                                         "training does with them cannot be seen"):
        trace(TrainsInPython(), (1, 3, 6, 6))
