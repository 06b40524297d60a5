"""mindcv's networks through ONNX: one file, batches 1 and 3."""

import mindspore as ms
import pytest

from mindspore_gs import export_onnx
from tests.export.run_onnx import worst_difference

pytest.importorskip("mindcv", reason="mindcv is not installed; it comes with the extra 'zoo'")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZES = {"resnet18": 64, "resnet50": 64, "efficientnet_b0": 64, "ghostnet_050": 64, "hrnet_w32": 64,
         "mobilenet_v3_small_075": 64, "poolformer_s12": 64, "vit_b_32_224": 224, "skresnet18": 64, "vgg11": 224,
         "densenet121": 64, "convnext_tiny": 64, "shufflenet_v2_x0_5": 64, "swin_tiny": 224, "pit_ti": 224,
         "mobilevit_xx_small": 256, "inception_v3": 299, "xcit_tiny_12_p16_224": 224, "cmt_tiny": 160}


def _exported(name, size, tmp_path):
    """The file's batch, and the worst difference at batches 1 and 3 relative to the largest output."""
    from benchmarks.randomise import images
    from benchmarks.recipes import recipe
    from benchmarks.zoo import build
    net = build(recipe(name, size), 0)
    ms.set_context(mode=ms.GRAPH_MODE)
    path = export_onnx(net, (1, 3, size, size), tmp_path / name)
    batch = onnx.load(path).metadata_props[0].value
    return batch, max(worst_difference(path, net, images((n, 3, size, size), n)) for n in (1, 3))


def test_squeezenet(tmp_path):
    batch, worst = _exported("squeezenet1_0", 64, tmp_path)
    assert batch == "open" and worst <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name, size", SIZES.items())
def test_a_network(name, size, tmp_path):
    batch, worst = _exported(name, size, tmp_path)
    assert batch == "open" and worst <= 2e-5
