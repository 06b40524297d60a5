"""How many channels stay, and which."""

import numpy as np
import pytest

from mindspore_gs.pruner.criteria import combine
from mindspore_gs.pruner.select import best, number_kept


@pytest.mark.parametrize("size, rate, round_to, least, expected", [
    (64, 0.45, 1, 1, 36), (64, 0.45, 8, 1, 40), (64, 0.99, 1, 1, 1), (3, 0.999, 1, 1, 1), (1, 0.9, 1, 1, 1),
    (10, 0.0, 4, 1, 10), (10, 0.7, 1, 5, 5), (10, 0.7, 1, 99, 10), (100, 0.29, 1, 1, 72), (10, 0.3, 1, 1, 7),
    (64, 0.35, 1, 1, 42), (256, 0.35, 1, 1, 167), (512, 0.35, 1, 1, 333)], ids=str)
def test_number_of_channels_that_stay(size, rate, round_to, least, expected):
    """Literally ``int(rate * channels)``, as in Golden Stick: ``int(0.29 * 100)`` is 28."""
    assert number_kept(size, rate, round_to, least) == expected


def test_the_best_channels():
    np.testing.assert_array_equal(best(np.array([0.3, -1, 0.2, 0.3]), 2), [True, False, False, True])
    assert best(np.zeros(5), 2).sum() == 2 and best(np.zeros(5), 5).all()


def test_shared_channels_get_the_mean_of_scores_on_one_scale():
    large, small = np.array([300.0, 100.0, 200.0]), np.array([1.0, 3.0, 2.0])
    np.testing.assert_allclose(combine([large, small]), [1, 1, 1])
    np.testing.assert_array_equal(combine([large]), large)
    assert np.isfinite(combine([np.zeros(3), small])).all()
