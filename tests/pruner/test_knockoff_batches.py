"""The knockoff phase: wherever the samples lie in a network, each real sample is mixed with its knockoff, and only it.

What must come out is computed without the package's cells: the network itself runs on the knockoffs, and then on the
real samples, where each convolution's output is mixed with what it was for the knockoffs.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import PrunerKfCompressAlgo
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.scop import doubling
from mindspore_gs.pruner.scop.phase import REUSE, end_phase, in_phase, start_phase
from tests import batches
from tests.helpers import image, randomise, same_state, state

FRAMES = (batches.Frames, batches.FramesFirst, batches.ViewsOfFrames)
MERGED = (batches.Features, batches.TimeMajor, batches.Stacked, batches.Pixels, batches.Nested, batches.Views,
          batches.JoinedViews, batches.Similarity, *FRAMES, batches.WithConstant)
SHARE = 0.9  # of the real feature, for each channel, when the phase begins


class Mirror(nn.Cell):
    """Makes knockoffs: mirrored images."""

    def construct(self, *inputs):
        return tuple([x[..., ::-1] for x in inputs])


def three_and_six(count, knockoffs):
    return ms.Tensor([3, 6], ms.int32)


def inputs_for(kind, count, seed=0):
    shape = (2, 3, 8, 8) if kind in FRAMES else (3, 8, 8)
    return tuple(image(count, *shape, seed=seed + k) for k in range(2 if kind is batches.Views else 1))


def begin(kind, generator=None, **options):
    net = randomise(kind())
    return start_phase(net, kind.pairs, generator, inputs=inputs_for(kind, 1, seed=9), **options).set_train(True)


def flat(output):
    if isinstance(output, dict):
        return [array for key in output for array in flat(output[key])]
    if isinstance(output, (tuple, list)):
        return [array for item in output for array in flat(item)]
    return [output.asnumpy()]


def mixed_by_hand(kind, inputs, knockoffs):
    """The outputs for real samples whose convolutions' outputs are mixed with those of their knockoffs."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net, kept = randomise(kind()).set_train(False), {}
    cells = net.name_cells()
    hooks = [cells[path].register_forward_hook(lambda cell, x, y: kept.setdefault(cell, []).append(y))
             for path in kind.pairs]
    net(*knockoffs)
    for hook in hooks:
        hook.remove()
    for path in kind.pairs:
        cells[path].register_forward_hook(lambda cell, x, y: SHARE * y + (1 - SHARE) * kept[cell].pop(0))
    return flat(net(*inputs))


def assert_same(got, expected):
    got = flat(got)
    assert [a.shape for a in got] == [a.shape for a in expected]
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MERGED, ids=lambda kind: kind.__name__)
def test_each_sample_is_mixed_with_the_knockoff_that_a_generator_makes(kind, mode):
    net, inputs = begin(kind, Mirror()), inputs_for(kind, 5)
    got = net(*inputs)
    assert_same(got, mixed_by_hand(kind, inputs, [x[..., ::-1] for x in inputs]))


@pytest.mark.parametrize("kind", MERGED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("count", [9, 2 * REUSE], ids=str)
def test_each_sample_is_mixed_with_another_sample_of_the_batch(kind, count, mode, monkeypatch):
    """Sample i with knockoff i modulo the number of knockoffs; here samples 3 and 6 are the knockoffs."""
    monkeypatch.setattr(doubling, "_places", three_and_six)
    net, inputs = begin(kind), inputs_for(kind, count)
    got = net(*inputs)
    served = ms.Tensor(np.array([3, 6] * count, np.int32)[:count])
    assert_same(got, mixed_by_hand(kind, inputs, [x[served] for x in inputs]))


@pytest.mark.parametrize("kind", MERGED, ids=lambda kind: kind.__name__)
def test_in_evaluation_it_computes_exactly_what_the_network_computes(kind, mode):
    inputs = inputs_for(kind, 5)
    expected = flat(randomise(kind()).set_train(False)(*inputs))
    got = flat(begin(kind).set_train(False)(*inputs))
    assert all(np.array_equal(a, b) for a, b in zip(got, expected)) and len(got) == len(expected)


def test_knockoffs_never_serve_themselves_and_change():
    found = [doubling._places(count, -(-count // REUSE)).asnumpy() for count in (9, 16, 24, 70) for _ in range(20)]
    for places in found:
        assert len(set(places % len(places))) == len(places)
        assert (places % len(places) != np.arange(len(places))).all()
    assert len({tuple(places) for places in found[:20]}) >= 6
    assert {int(p) for p in np.concatenate(found[:20])} <= set(range(9))


def test_the_only_knockoff_is_the_mean_of_two_samples(mode):
    net, (x,) = begin(batches.Features), inputs_for(batches.Features, 2)
    got = net(x)
    half = (x[:1] + x[1:]) / 2
    assert_same(got, mixed_by_hand(batches.Features, (x,), [ms.ops.concat((half, half), 0)]))


@pytest.mark.parametrize("count", [2, 8, 9, 16, 21], ids=str)
def test_every_real_sample_is_mixed_at_each_step(count, mode):
    """Its output in training mode is not that of evaluation mode, though nothing else differs."""
    net, (x,) = begin(batches.Features), inputs_for(batches.Features, count)
    for _ in range(3):
        apart = np.abs(net.set_train(True)(x).asnumpy() - net.set_train(False)(x).asnumpy()).max(1)
        assert apart.shape == (count,) and apart.min() > 1e-3


REFUSED = {
    batches.MeanLoss: (r"the output depends on the samples, but none of its axes \(\) is the batch", "kf.apply(net."),
    batches.Contrast: ("samples are mixed with each other in the output", "kf.apply(net."),
    batches.Pairs: ("an axis of the output has 9 entries for 3 samples and 16 for 4", "kf.apply(net."),
    batches.AverageFirst: ("samples are mixed with each other in the input of 'conv'", "kf.apply(net."),
    batches.TimesSample: ("the samples do not lie along the first axis of the input of 'conv2'", "'ignore'"),
    batches.OnlyEvaluated: ("'conv2' is not computed in training mode", "'ignore'"),
    batches.FixedBatch: ("FixedBatch does not run in training mode on batches of 3 and 4", "'input_shape'"),
}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_what_cannot_be_undone_is_refused_and_nothing_changes(kind, mode):
    net = randomise(kind())
    before, numbers = state(net), np.random.get_state()[1].copy()
    reason, remedy = REFUSED[kind]
    with pytest.raises(PruningError, match=reason) as caught:
        start_phase(net, kind.pairs, inputs=inputs_for(kind, 1))
    assert remedy in str(caught.value)
    assert same_state(before, state(net)) and not in_phase(net) and type(net) is kind
    assert ms.get_context("mode") == mode and np.array_equal(numbers, np.random.get_state()[1])


def test_frames_in_front_of_the_samples_know_one_number_of_frames(mode):
    net = begin(batches.FramesFirst)
    with pytest.raises(ValueError, match="takes inputs of the sizes that it was applied with"):
        net(image(5, 4, 3, 8, 8))


def test_afterwards_it_is_the_network_that_it_was():
    net = randomise(batches.Nested()).set_train(True)
    net.bn.set_train(False)
    before, attributes = state(net), set(vars(net))
    start_phase(net, net.pairs, Mirror(), inputs=inputs_for(batches.Nested, 1))
    end_phase(net)
    assert type(net) is batches.Nested and same_state(before, state(net)) and set(vars(net)) == attributes


def test_kf_apply_finds_out_how_samples_lie_or_refuses(mode):
    options = {"input_shape": (1, 3, 8, 8), "residual": "couple"}
    net = PrunerKfCompressAlgo(options).apply(randomise(batches.TimeMajor())).set_train(True)
    assert net(image(9, 3, 8, 8)).shape == (4, 9, 5)
    loss = randomise(batches.MeanLoss())
    before = state(loss)
    with pytest.raises(PruningError, match="the output depends on the samples"):
        PrunerKfCompressAlgo(options).apply(loss)
    assert same_state(before, state(loss)) and type(loss) is batches.MeanLoss


@pytest.mark.parametrize(("axis", "error"), [(-1, ValueError), ("0", TypeError), (True, TypeError)], ids=str)
def test_what_a_batch_axis_may_be(axis, error):
    with pytest.raises(error, match="'batch_axis'"):
        PrunerKfCompressAlgo(batch_axis=axis)
