"""Golden Stick's interface of SLB: setters, messages, callbacks, what scripts import."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.common.dtype import QuantDtype
from mindspore.dataset import GeneratorDataset
from mindspore.train import Model

from mindspore_gs import SlbQuantAwareTraining
from mindspore_gs.errors import PruningError
from mindspore_gs.quantization.slb.slb_fake_quantizer import SlbActQuantizer, SlbFakeQuantizerPerLayer
from mindspore_gs.quantization.slb.slb_quant import Conv2dSlbQuant
from tests.networks import Chain, NoConvolution
from tests.quantization.networks import Super

OWNER = "For 'SlbQuantAwareTraining', the"
FULL = {"epoch_size": 10, "has_trained_epoch": 0, "t_start_val": 1.0, "t_start_time": 0.2, "t_end_time": 0.6,
        "t_factor": 3.2}
BITS = {"W1": QuantDtype.INT1, "W2": QuantDtype.INT2, "W4": QuantDtype.INT4}


def data():
    return GeneratorDataset([(np.zeros((3, 8, 8), np.float32), np.int32(0))] * 4, ["image", "label"]).batch(2)


@pytest.mark.parametrize("module", ["mindspore_gs", "mindspore_gs.quantization", "mindspore_gs.quantization.slb"])
def test_scripts_find_the_class(module):
    assert __import__(module, fromlist=["x"]).SlbQuantAwareTraining is SlbQuantAwareTraining
    from mindspore_gs.quantization.constant import QuantDtype as older
    assert older is QuantDtype


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("activations", [False, True])
def test_apply(bits, activations):
    slb = SlbQuantAwareTraining({"quant_dtype": [QuantDtype.INT8, BITS[bits]], "enable_act_quant": activations,
                                 "enable_bn_calibration": True, **FULL})
    net = Chain()
    applied = slb.apply(net)
    assert applied is net
    assert isinstance(applied.conv1, Conv2dSlbQuant)
    assert isinstance(applied.conv1, nn.Conv2d)
    assert isinstance(applied.conv1.weight_quantizer(), SlbFakeQuantizerPerLayer)
    assert isinstance(getattr(applied.conv1.conv2d, "quantizer", None), SlbActQuantizer) == activations
    logits = {p.name: p.shape for p in applied.trainable_params()}["conv1.weight"]
    assert logits == (6, 3, 3, 3, 2 ** int(bits[1]))
    assert slb._config.enable_bn_calibration
    assert {name: getattr(slb._config, name) for name in FULL} == FULL


def test_setters_and_repr():
    slb = SlbQuantAwareTraining()
    assert (slb._config.weight_quant_dtype, slb._config.act_quant_dtype) == (QuantDtype.INT1, QuantDtype.INT8)
    assert not slb._config.enable_act_quant and not slb._config.enable_bn_calibration
    slb.set_weight_quant_dtype(QuantDtype.INT4)
    slb.set_act_quant_dtype(QuantDtype.INT8)
    slb.set_enable_act_quant(True)
    slb.set_enable_bn_calibration(True)
    slb.set_epoch_size(100)
    slb.set_has_trained_epoch(3)
    slb.set_t_start_val(2.0)
    slb.set_t_start_time(0.3)
    slb.set_t_end_time(0.7)
    slb.set_t_factor(1.5)
    assert repr(slb) == ("SlbQuantAwareTraining<weight_quant_dtype=INT4, act_quant_dtype=INT8, enable_act_quant=True, "
                         "enable_bn_calibration=True, epoch_size=100, has_trained_epoch=3, t_start_val=2.0, "
                         "t_start_time=0.3, t_end_time=0.7, t_factor=1.5>")


BAD = [
    ("weight_quant_dtype", 3, TypeError, "The parameter `weight quant dtype` must be isinstance of QuantDtype, "
                                         "but got 3."),
    ("weight_quant_dtype", QuantDtype.INT8, ValueError, "Only supported if `weight_quant_dtype` is `QuantDtype.INT1`, "
                                                        "`QuantDtype.INT2` or `QuantDtype.INT4` yet."),
    ("act_quant_dtype", 3, TypeError, "The parameter `act quant dtype` must be isinstance of QuantDtype, but got 3."),
    ("act_quant_dtype", QuantDtype.INT1, ValueError, "Only supported if `act_quant_dtype` is `QuantDtype.INT8` yet."),
    ("enable_act_quant", 1, TypeError, f"{OWNER} 'enable_act_quant' must be 'bool',  but got 'int'."),
    ("enable_bn_calibration", "x", TypeError, f"{OWNER} 'enable_bn_calibration' must be 'bool',  but got 'str'."),
    ("epoch_size", 3.2, TypeError, f"{OWNER} 'epoch_size' must be int, but got 'float'"),
    ("epoch_size", -1, ValueError, f"{OWNER} 'epoch_size' must be int and must > 0, but got '-1' with type 'int'."),
    ("has_trained_epoch", 3.2, TypeError, f"{OWNER} 'has_trained_epoch' must be int, but got 'float'"),
    ("has_trained_epoch", -10, ValueError, f"{OWNER} 'has_trained_epoch' must be int and must >= 0, but got '-10' with "
                                           "type 'int'."),
    ("t_start_val", 2, TypeError, f"{OWNER} 't_start_val' must be float, but got 'int'"),
    ("t_start_val", -2.1, ValueError, f"{OWNER} 't_start_val' must be float and must > 0, but got '-2.1' with type "
                                      "'float'."),
    ("t_start_time", 2, TypeError, f"{OWNER} 't_start_time' must be 'float',  but got 'int'."),
    ("t_start_time", -2.1, ValueError, f"{OWNER} 't_start_time' must be in range of [0.0, 1.0], but got -2.1 with type "
                                       "'float'."),
    ("t_end_time", 2, TypeError, f"{OWNER} 't_end_time' must be 'float',  but got 'int'."),
    ("t_end_time", 1.5, ValueError, f"{OWNER} 't_end_time' must be in range of [0.0, 1.0], but got 1.5 with type "
                                    "'float'."),
    ("t_factor", 2, TypeError, f"{OWNER} 't_factor' must be float, but got 'int'"),
    ("t_factor", -2.1, ValueError, f"{OWNER} 't_factor' must be float and must > 0, but got '-2.1' with type 'float'."),
]


@pytest.mark.parametrize("name, value, kind, message", BAD, ids=lambda value: str(value)[:20])
def test_bad_values(name, value, kind, message):
    slb = SlbQuantAwareTraining()
    before = repr(slb)
    with pytest.raises(kind) as caught:
        getattr(slb, f"set_{name}")(value)
    assert str(caught.value).startswith(message)
    assert repr(slb) == before
    if "dtype" not in name:
        with pytest.raises(kind) as caught:
            SlbQuantAwareTraining({name: value})
        assert str(caught.value).startswith(message)


def test_the_list_of_types():
    assert SlbQuantAwareTraining(quant_dtype=QuantDtype.INT4)._config.bits == 4
    assert SlbQuantAwareTraining(quant_dtype=(QuantDtype.INT8, QuantDtype.INT2))._config.bits == 2
    with pytest.raises(ValueError, match="The length of input `quant dtype` should not be greater than 2"):
        SlbQuantAwareTraining(quant_dtype=[QuantDtype.INT8] * 3)
    with pytest.raises(TypeError, match="the type of 'config' should be 'dict', but got type 'int'"):
        SlbQuantAwareTraining(5)
    with pytest.raises(ValueError, match="'weights' or 'random', but got 'zeros'"):
        SlbQuantAwareTraining(start="zeros")


def test_callbacks_want_their_options():
    slb = SlbQuantAwareTraining()
    model = Model(slb.apply(Chain()))
    with pytest.raises(RuntimeError, match="The `epoch_size` need to be initialized!"):
        slb.callbacks(model=model, dataset=data())
    slb.set_epoch_size(100)
    with pytest.raises(RuntimeError, match="The `has_trained_epoch` need to be initialized!"):
        slb.callbacks(model=model, dataset=data())
    slb.set_has_trained_epoch(120)
    with pytest.raises(ValueError, match="The `epoch_size` should be greater than `has_trained_epoch`."):
        slb.callbacks(model=model, dataset=data())
    slb.set_has_trained_epoch(0)
    assert len(slb.callbacks(model=model, dataset=data())) == 1
    slb.set_enable_bn_calibration(True)
    assert len(slb.callbacks(model=model, dataset=data())) == 2
    slb.set_t_start_time(0.7)
    slb.set_t_end_time(0.4)
    with pytest.raises(ValueError, match="The `t_end_time` should not be less than `t_start_time`."):
        slb.callbacks(model=model, dataset=data())


def test_callbacks_want_a_model_of_the_applied_network():
    slb = SlbQuantAwareTraining(epoch_size=100, has_trained_epoch=0)
    with pytest.raises(TypeError, match="The parameter `model` must be isinstance of mindspore.Model, but got 10."):
        slb.callbacks(model=10, dataset=data())
    with pytest.raises(PruningError, match="no layers with searched weights"):
        slb.callbacks(model=Model(Chain()), dataset=data())
    model = Model(slb.apply(Chain()))
    with pytest.raises(TypeError, match="The parameter `dataset` must be isinstance of mindspore.dataset.Dataset, but "
                                        "got 5."):
        slb.callbacks(model=model, dataset=5)


def test_convert_checks_its_arguments(tmp_path):
    slb = SlbQuantAwareTraining()
    with pytest.raises(TypeError, match="The parameter `net_opt` must be isinstance of Cell, but got <class 'int'>."):
        slb.convert(net_opt=10)
    net = slb.apply(Chain())
    with pytest.raises(TypeError, match="The parameter `ckpt_path` must be isinstance of str, but got <class 'int'>."):
        slb.convert(net_opt=net, ckpt_path=5)
    with pytest.raises(ValueError, match="The parameter `ckpt_path` can only be empty or a valid file, but got "):
        slb.convert(net_opt=net, ckpt_path="an_invalid_test_path")
    ms.save_checkpoint(Chain(), str(tmp_path / "float.ckpt"))
    with pytest.raises(RuntimeError, match="belongs to another network"):
        slb.convert(net, str(tmp_path / "float.ckpt"))
    with pytest.raises(PruningError, match=r"call SlbQuantAwareTraining.apply\(\) on it first"):
        slb.convert(Chain())


def test_what_cannot_be_searched_is_refused():
    slb = SlbQuantAwareTraining()
    with pytest.raises(TypeError, match="the 'network' must be 'Cell', but got 'int'"):
        slb.apply(3)
    with pytest.raises(PruningError, match="NoConvolution has no convolution .* 'dense': True"):
        slb.apply(NoConvolution())
    net = slb.apply(Chain())
    with pytest.raises(PruningError, match="has low-bit weights already"):
        slb.apply(net)
    with pytest.raises(PruningError, match="has low-bit weights already"):
        slb.apply(slb.convert(net))
    with pytest.raises(ValueError, match="'keep_float' pattern 'conv9' fits none of the layers conv1, conv2, conv3"):
        SlbQuantAwareTraining(keep_float=["conv9"]).apply(Chain())
    with pytest.raises(PruningError, match="leave none of the layers"):
        SlbQuantAwareTraining(keep_float=["conv*"]).apply(Chain())


def test_weights_of_bfloat16_are_refused():
    net = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    net[2].weight.set_dtype(ms.bfloat16)
    with pytest.raises(PruningError, match="the weight of '2' is of the type bfloat16"):
        SlbQuantAwareTraining().apply(net)
    net = SlbQuantAwareTraining(keep_float=["2"]).apply(net)
    assert [p.ndim for p in net.trainable_params()] == [5, 4]


def test_weights_of_zeros_and_nan_are_refused_before_anything_changes():
    for value, what in ((0, "all zero"), (np.nan, "not finite")):
        net = Chain()
        net.conv2.weight.set_data(ms.Tensor(np.full(net.conv2.weight.shape, value, np.float32)))
        shapes = [p.shape for p in net.get_parameters()]
        with pytest.raises(PruningError, match=f"the weights of 'conv2' are {what}.*'keep_float': \\['conv2'\\]"):
            SlbQuantAwareTraining().apply(net)
        assert [p.shape for p in net.get_parameters()] == shapes
        SlbQuantAwareTraining(keep_float=["conv2"]).apply(net)


def test_a_class_that_calls_its_parents_construct_is_refused():
    net = nn.SequentialCell(Super(3, 4, 1), nn.ReLU())
    with pytest.raises(PruningError, match=r"'0' is a Super, .* such as self.conv2d\(x, self.weight\), or leave"):
        SlbQuantAwareTraining().apply(net)
    assert net[0].weight.shape == (4, 3, 1, 1)
