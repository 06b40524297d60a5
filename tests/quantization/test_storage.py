"""The file of packed weights: its size, and what it refuses."""

import hashlib
import json
import stat

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.common.dtype import QuantDtype

from mindspore_gs import SlbQuantAwareTraining, load_quantized, save_quantized
from mindspore_gs.errors import CheckpointError
from tests.helpers import evaluate, image, randomise
from tests.networks import Chain, Identity


@pytest.fixture(scope="module")
def small():
    return SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2).convert(
        SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2).apply(randomise(Chain())))


@pytest.mark.parametrize("kind, bits", [(QuantDtype.INT1, 1), (QuantDtype.INT2, 2), (QuantDtype.INT4, 4)])
def test_a_weight_takes_its_bits(kind, bits, tmp_path):
    def build():
        return nn.SequentialCell(nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128))

    net = SlbQuantAwareTraining(quant_dtype=kind).apply(build())
    path = save_quantized(net, tmp_path / "net")
    assert path == tmp_path / "net.slb" and stat.S_IMODE(path.stat().st_mode) == 0o644
    packed, scales, norm = 128 * 64 * 9 * bits // 8, 128 * 4, 4 * 128 * 4
    assert packed + scales + norm < path.stat().st_size < packed + scales + norm + 700
    again = load_quantized(build, path)
    assert len(np.unique(again[0].weight.asnumpy()[5])) <= 2 ** bits


def test_what_is_loaded_is_equal(small, tmp_path):
    again = load_quantized(Chain, save_quantized(small, tmp_path / "a.slb"))
    for ours, theirs in zip(again.get_parameters(), small.get_parameters()):
        assert (ours.name, ours.dtype) == (theirs.name, theirs.dtype)
        assert np.array_equal(ours.asnumpy(), theirs.asnumpy())
    assert np.array_equal(evaluate(again, image(1, 3, 8, 8)).asnumpy(), evaluate(small, image(1, 3, 8, 8)).asnumpy())


def test_half_precision(tmp_path):
    net = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT4).apply(randomise(Chain()).to_float(ms.float16))
    for parameter in net.get_parameters():
        parameter.set_dtype(ms.float16)
    small = SlbQuantAwareTraining().convert(net)
    again = load_quantized(lambda: half(Chain()), save_quantized(small, tmp_path / "half"))
    assert again.conv1.weight.dtype == ms.float16
    assert np.array_equal(again.conv1.weight.asnumpy(), small.conv1.weight.asnumpy())


class Counting(nn.Cell):
    """A convolution, and parameters of types that are rare."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        for kind in ("uint16", "uint32", "uint64", "complex64"):
            setattr(self, kind, ms.Parameter(ms.Tensor(np.array([1, 2], kind)), name=kind, requires_grad=False))

    def construct(self, x):
        return self.conv(x)


def test_mixed_precision_and_rare_types(tmp_path, caplog):
    """Whatever is saved is read again; that it computes in another precision is said."""
    slb = SlbQuantAwareTraining()
    small = slb.convert(slb.apply(Counting()).to_float(ms.float16))
    with caplog.at_level("WARNING", "mindspore_gs"):
        again = load_quantized(Counting, save_quantized(small, tmp_path / "a"))
    assert "Counting computes in half precision" in caplog.text and "load_quantized() returns" in caplog.text
    for parameter, other in zip(again.get_parameters(), small.get_parameters(), strict=True):
        assert parameter.dtype == other.dtype and np.array_equal(parameter.asnumpy(), other.asnumpy())


def half(net):
    for parameter in net.get_parameters():
        parameter.set_dtype(ms.float16)
    return net


def test_changed_weights_are_refused(tmp_path):
    net = SlbQuantAwareTraining().apply(randomise(Chain()))
    small = SlbQuantAwareTraining().convert(net)
    small.conv2.weight.set_data(ms.Tensor(small.conv2.weight.asnumpy() + 0.01))
    with pytest.raises(CheckpointError, match="the weights of 'conv2' are not on the grid of 1 bits any more"):
        save_quantized(small, tmp_path / "a")
    with pytest.raises(CheckpointError, match="Chain has no low-bit weights"):
        save_quantized(Chain(), tmp_path / "a")
    with pytest.raises(TypeError, match="save_quantized.. takes a mindspore.nn.Cell, but got 'int'"):
        save_quantized(3, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_cut_or_changed_is_refused(small, tmp_path):
    path = save_quantized(small, tmp_path / "a")
    whole = path.read_bytes()
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1:])
        with pytest.raises(CheckpointError):
            load_quantized(Chain, path)
        path.write_bytes(whole[:position])
        with pytest.raises(CheckpointError):
            load_quantized(Chain, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_quantized(Chain, tmp_path / "none.slb")
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="it belongs to another network"):
        load_quantized(Identity, path)
    with pytest.raises(TypeError, match="takes a function that builds the float network"):
        load_quantized(Chain(), path)
    with pytest.raises(TypeError, match="must return a mindspore.nn.Cell, but returned 'int'"):
        load_quantized(lambda: 3, path)


def first_entry(**changes):
    def change(header):
        header["entries"][0].update(changes)
    return change


FORGED = {
    "huge": first_entry(shape=[10 ** 12, 10 ** 6]), "negative": first_entry(shape=[-1]), "bits": first_entry(bits=3),
    "type": first_entry(dtype="O"), "name": first_entry(name="conv9.weight"), "true": first_entry(shape=[True]),
    "no entries": lambda header: header.pop("entries"), "no layers": lambda header: header.pop("layers"),
    "other layer": lambda header: header["layers"].update(fc=header["layers"].pop("conv1")),
    "swapped": lambda header: header["layers"].update(
        conv1=header["layers"]["conv2"], conv2=header["layers"]["conv1"]),
    "range": lambda header: header["layers"]["conv1"].update(input=[0.0, float("nan"), 255]),
    "twice": lambda header: header["entries"].append(header["entries"][0]),
    "packed bias": lambda header: [e.update(bits=1) for e in header["entries"] if e["name"] == "conv3.bias"],
}


@pytest.mark.parametrize("forgery", FORGED)
def test_a_forged_header_with_a_right_checksum_is_refused(forgery, small, tmp_path):
    path = save_quantized(small, tmp_path / "a")
    whole = path.read_bytes()
    size = int.from_bytes(whole[8:16], "little")
    header = json.loads(whole[16:16 + size])
    FORGED[forgery](header)
    text = json.dumps(header).encode()
    content = whole[:8] + len(text).to_bytes(8, "little") + text + whole[16 + size:-32]
    path.write_bytes(content + hashlib.sha256(content).digest())
    with pytest.raises(CheckpointError):
        load_quantized(Chain, path)
