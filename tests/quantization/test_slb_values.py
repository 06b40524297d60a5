"""The mathematics of SLB: scales that no other beats, logits that give the weights back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_gs.quantization.packing import pack, packed_size, unpack
from mindspore_gs.quantization.slb.schedule import Schedule
from mindspore_gs.quantization.slb.values import BITS, best_scales, candidates, logits_for, nearest, soft_weight


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_logits_give_the_soft_weights_back(bits, temperature):
    soft = np.linspace(-1.5, 1.5, 301)
    logits = logits_for(soft, bits, temperature)
    assert logits.shape == (301, 2 ** bits) and logits.dtype == np.float32
    limit = 1 - 0.05 * (2 / (2 ** bits - 1))
    assert np.abs(soft_weight(logits, bits, temperature) - np.clip(soft, -limit, limit)).max() < 2e-6


@pytest.mark.parametrize("bits", BITS)
def test_the_likeliest_candidate_is_the_nearest(bits):
    """Except next to the middle between two candidates at an end, where the distribution is not symmetric."""
    soft = np.random.default_rng(0).uniform(-1, 1, 4000)
    wrong = logits_for(soft, bits).argmax(-1) != nearest(soft, bits)
    middles = (candidates(bits)[:-1] + candidates(bits)[1:]) / 2
    gap = np.abs(soft[:, None] - middles).min(axis=1) / (candidates(bits)[1] - candidates(bits)[0])
    assert not wrong[gap > 0.06].any()


@pytest.mark.parametrize("bits", BITS)
def test_no_single_scale_is_much_better(bits):
    weight = np.random.default_rng(1).normal(0, 0.1, (6, 4, 3, 3))
    rows = weight.reshape(6, -1)
    scale = best_scales(weight, bits)

    def error(s):
        return ((rows - s[:, None] * candidates(bits)[nearest(rows / s[:, None], bits)]) ** 2).sum(axis=1)

    tried = np.stack([error(np.abs(rows).max(axis=1) * f) for f in np.linspace(0.02, 1.2, 500)]).min(axis=0)
    assert (error(scale) <= tried * 1.01).all()
    if bits == 1:
        assert np.allclose(scale, np.abs(rows).mean(axis=1))


def test_a_channel_of_zeros_stays_zero():
    weight = np.random.default_rng(1).normal(0, 0.1, (3, 4))
    weight[1] = 0
    for bits in BITS:
        scale = best_scales(weight, bits)
        assert scale[1] == 0 and (scale[[0, 2]] > 0).all()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BITS), st.integers(0, 70), st.integers(0, 2 ** 32 - 1))
def test_packing_is_undone(bits, count, seed):
    numbers = np.random.default_rng(seed).integers(0, 2 ** bits, count).astype(np.uint8)
    data = pack(numbers, bits)
    assert len(data) == packed_size(count, bits) == int(np.ceil(count * bits / 8))
    assert np.array_equal(unpack(data, count, bits), numbers)


def test_the_schedule_is_golden_sticks():
    """Epochs from 1 on: 1.0 until e0 = 20, then 1.2 times as much each epoch until e1 = 60, then one-hot."""
    schedule = Schedule(100)
    assert (schedule.first, schedule.last) == (20, 60)
    assert schedule.temperature(20) == 1.0
    assert schedule.temperature(21) == 1.2
    assert schedule.temperature(60) == schedule.temperature(100) == pytest.approx(1.2 ** 40)
    assert [schedule.ended(e) for e in (59, 60, 100)] == [False, True, True]
    assert [schedule.begun(e) for e in (20, 21)] == [False, True]
