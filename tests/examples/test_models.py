import mindspore as ms
import numpy as np
import pytest
from src.data import Images
from src.engine import predict
from src.errors import InputError
from src.files import load_checkpoint, save_checkpoint
from src.models import build


@pytest.mark.parametrize("name, classes, parameters", [
    ("resnet20", 10, 269_722), ("resnet56", 10, 853_018), ("resnet18", 10, 11_181_642), ("resnet50", 10, 23_528_522),
    ("resnet18", 1000, 11_689_512), ("resnet50", 1000, 25_557_032)])
def test_parameter_counts(name, classes, parameters):
    assert sum(parameter.size for parameter in build(name, classes).trainable_params()) == parameters


@pytest.mark.parametrize("name, wanted", [
    ("resnet20", {"conv1.weight", "bn1.gamma", "layer1.0.conv1.weight", "layer3.2.bn2.moving_mean", "linear.bias"}),
    ("resnet18", {"conv1.weight", "layer2.0.downsample.0.weight", "layer2.0.downsample.1.gamma", "fc.weight"}),
    ("resnet50", {"bn1.beta", "layer1.0.conv3.weight", "layer1.0.downsample.1.moving_variance", "fc.bias"})])
def test_parameter_names(name, wanted):
    assert wanted <= {parameter.name for parameter in build(name).get_parameters()}


@pytest.mark.parametrize("name, classes", [("resnet20", 10), ("resnet18", 7)])
def test_logits_do_not_depend_on_how_images_are_batched(name, classes):
    ms.set_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 3, 32, 32)).astype(np.uint8)
    net, images = build(name, classes), Images(pixels, np.zeros(7, np.int32))
    whole = predict(net, images, 7)
    assert whole.shape == (7, classes)
    np.testing.assert_allclose(predict(net, images, 4), whole, rtol=1e-4, atol=1e-5)


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match="net is 'vgg', but must be one of resnet18, resnet20, resnet50, resnet56"):
        build("vgg")


def test_checkpoints_come_back_and_foreign_ones_are_refused(tmp_path):
    net = build("resnet20")
    path = str(save_checkpoint(net, tmp_path / "new" / "net.ckpt"))
    assert [place.name for place in (tmp_path / "new").iterdir()] == ["net.ckpt"]
    again = load_checkpoint(build("resnet20"), path)
    for left, right in zip(net.get_parameters(), again.get_parameters()):
        assert left.name == right.name and np.array_equal(left.asnumpy(), right.asnumpy())
    with pytest.raises(InputError, match=r"does not fit this network: it lacks layer1\.3\.bn1\.beta and \d+ more"):
        load_checkpoint(build("resnet56"), path)
    with pytest.raises(InputError, match=r"linear\.weight is \(10, 64\) in the file and \(5, 64\) in the network"):
        load_checkpoint(build("resnet20", 5), path)
    with pytest.raises(InputError, match="is no file"):
        load_checkpoint(net, str(tmp_path / "none.ckpt"))
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(InputError, match="no MindSpore checkpoint"):
        load_checkpoint(net, str(tmp_path / "text.ckpt"))
