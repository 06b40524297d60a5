"""A masked channel is zero, where some functions have no slope: refused for training, but not for pruning at once."""

import pytest

from mindspore_gs import ChannelPruner, PrunerKfCompressAlgo, prune
from mindspore_gs.errors import PruningError
from tests import forms
from tests.by_hand import reasons
from tests.helpers import randomise

SHAPE = (2, 3, 8, 8)


@pytest.mark.parametrize("how", ["std", "root", "power", "hypotenuse", "angle", "running product"])
def test_a_root_of_masked_channels_is_refused_for_training(how):
    """One step would make all weights in front of it NaN."""
    with pytest.raises(PruningError, match="no finite slope at zero.*add 'conv' to 'ignore'"):
        ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(forms.Pooled(how)))


def test_so_it_is_for_knockoffs():
    with pytest.raises(PruningError, match="no finite slope at zero"):
        PrunerKfCompressAlgo(input_shape=SHAPE, residual="couple").apply(randomise(forms.Pooled("std")))


def test_it_is_pruned_at_once():
    small = prune(randomise(forms.Pooled("std")), prune_rate=0.5, inputs=SHAPE)
    assert (small.conv.weight.shape, small.last.weight.shape) == ((4, 3, 3, 3), (4, 8))


def test_what_is_under_the_root_may_be_more_than_zero():
    """But then it is not zero behind the root."""
    assert reasons(lambda: forms.Pooled("safe"), SHAPE)["conv"] == (8, "NOT_ZERO")
