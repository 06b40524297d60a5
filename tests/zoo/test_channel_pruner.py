"""ChannelPruner on networks that SCOP cannot serve: no BatchNorm, LayerNorm, attention, BatchNorm in front. Slow."""

import numpy as np
import pytest

from benchmarks.randomise import calibrate, images, randomise
from mindspore_gs import ChannelPruner, export_mindir, load_mindir
from mindspore_gs.graph import trace
from mindspore_gs.report import compare
from mindspore_gs.slim import relative_difference
from tests.helpers import evaluate, image

models = pytest.importorskip("mindcv.models", reason="mindcv is not installed; it comes with the extra 'zoo'")

SHAPE = (1, 3, 224, 224)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext_tiny", "vgg11", "vit_b_32_224", "densenet121"])
def test_half_of_the_macs_by_the_l1_norm(name, tmp_path):
    net = calibrate(randomise(getattr(models, name)(num_classes=10), 0), images((2, *SHAPE[1:])))
    graph = trace(net, SHAPE)
    pruner = ChannelPruner(criterion="l1", target={"macs": 0.5}, input_shape=SHAPE)
    masked = pruner.apply(net)
    small = pruner.convert(masked)
    x = image(*SHAPE, seed=3)
    expected = evaluate(masked, x)
    assert np.isfinite(expected.asnumpy()).all()
    assert relative_difference(evaluate(small, x), expected) <= 1e-5
    reloaded = load_mindir(export_mindir(small, SHAPE, tmp_path / "small"))
    assert relative_difference(reloaded(x), expected) <= 2e-5
    assert abs(compare(graph, trace(small, SHAPE)).macs_ratio - 0.5) <= 0.02
