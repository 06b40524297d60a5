import numpy as np
import pytest
from src.lr import constant, cosine


def test_cosine_falls_from_the_peak_towards_zero():
    rates = cosine(0.01, 1000)
    assert rates.shape == (1000,) and rates.dtype == np.float32
    assert rates[0] == np.float32(0.01) and 0 < rates[-1] < 1e-7
    assert (np.diff(rates) < 0).all()
    np.testing.assert_allclose(rates[500], 0.005, rtol=1e-6)


def test_the_warm_up_is_linear():
    rates = cosine(0.1, 50, warmup=10)
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 100, rtol=1e-6)
    np.testing.assert_allclose(rates[10:], cosine(0.1, 40))


def test_only_a_warm_up():
    np.testing.assert_allclose(cosine(1.0, 4, warmup=4), [0.25, 0.5, 0.75, 1.0])


def test_a_warm_up_longer_than_training_is_refused():
    with pytest.raises(ValueError, match=r"warmup must be in \[0, 4\], but got 5"):
        cosine(1.0, 4, warmup=5)


def test_constant():
    assert constant(0.5, 3).tolist() == [0.5, 0.5, 0.5]
