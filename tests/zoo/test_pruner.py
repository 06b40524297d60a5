"""SCOP on networks that nobody here wrote: gates, shuffles, second BatchNorms, through the public interface."""

import numpy as np
import pytest

from benchmarks.randomise import randomise
from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.pruner.scop.cells import KfConv2d
from mindspore_gs.slim import relative_difference
from tests.helpers import evaluate, image

models = pytest.importorskip("mindcv.models", reason="mindcv is not installed; it comes with the extra 'zoo'")

SHAPE = (1, 3, 64, 64)


@pytest.mark.parametrize("name, residual, layers", [
    ("mobilenet_v3_small_075", "couple", 52), ("seresnet18", "keep", 16),
    pytest.param("shufflenet_v2_x0_5", "couple", 56, marks=pytest.mark.slow)])
def test_masked_slim_and_less(name, residual, layers):
    net = randomise(getattr(models, name)(num_classes=10), 0)
    before = sum(p.size for p in net.trainable_params())
    net = PrunerKfCompressAlgo(input_shape=SHAPE, residual=residual).apply(net)
    assert sum(isinstance(cell, KfConv2d) for _, cell in net.cells_and_names()) == layers
    net = PrunerFtCompressAlgo(target={"macs": 0.5}, criterion="l1").apply(net)
    small = PrunerFtCompressAlgo().convert(net)
    x = image(2, *SHAPE[1:])
    expected = evaluate(net, x)
    assert np.isfinite(expected.asnumpy()).all()
    assert relative_difference(evaluate(small, x), expected) <= 1e-5
    assert sum(p.size for p in small.trainable_params()) < 0.75 * before
