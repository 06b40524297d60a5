"""What a user may get wrong, in one table: the exact exception and message, and nothing of the user's is touched."""

import pickle

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import (
    ChannelPruner,
    PrunerFtCompressAlgo,
    PrunerKfCompressAlgo,
    load_pruned,
    prune,
    recalibrate,
    save_pruned,
    summary,
)
from mindspore_gs.errors import CheckpointError, PruningError
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.slim import PrunePlan, slim
from tests.helpers import randomise, same_state, state

SHAPE = (1, 1, 4, 4)
ALL = (ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo)
CHANNEL = ALL[:2]
SIZES = "must be a shape such as (1, 3, 32, 32), a tensor, or a list of these for several inputs, but got {value!r}."
PATTERNS = "must be a list of cell-name patterns such as ['layer1.*'], but got {value!r}."
RANGE = "must be in range of [0.0, 1.0), but got {value} with type 'float'."
ONE_KEY = ("must have exactly one key of ('macs', 'params', 'latency'), such as {{'macs': 0.5}}, but got {value!r}.")
ARRAY, TENSOR = np.ones(2), ms.Tensor([1.0, 2.0])
KIND = {"float": "'float',  but got '{kind}'.", "int": "'int',  but got '{kind}'.",
        "bool": "'bool',  but got '{kind}'.", "dict": "'dict',  but got '{kind}'."}


def must(kind):
    return "must be " + KIND[kind]


OPTIONS = [  # option, values, algorithms, error, what the message says behind "For 'X', the 'option' "
    ("prune_rate", [1, "0.5", True, None, [0.5], ARRAY, 0.5j], CHANNEL, TypeError, must("float")),
    ("prune_rate", [1.0, -0.1, float("nan"), float("inf")], CHANNEL, ValueError, RANGE),
    ("rates", [0.5, "layer1", ["a"], None], CHANNEL, TypeError, must("dict")),
    ("target", [0.5, "macs", ["macs"], 1], CHANNEL, TypeError, must("dict")),
    ("target", [{}, {"mac": 0.5}, {"macs": 0.5, "params": 0.5}, {5: 0.5}], CHANNEL, ValueError, ONE_KEY),
    ("scope", [[], ARRAY, None, 5, "all", {}], CHANNEL, ValueError,
     "must be one of ('layer', 'global', 'isomorphic', 'error'), but got {value!r}."),
    ("criterion", [[], {}, ARRAY, None, 5, "l3", "L1", b"l1"], CHANNEL, ValueError,
     f"must be one of {tuple(CRITERIA)} or a function, but got {{value!r}}."),
    ("residual", [[], ARRAY, 5, "both", {}], ALL, ValueError,
     "must be one of ('keep', 'couple', 'inner'), but got {value!r}."),
    ("ignore", ["layer1", 5, [5], None, {"a": 1}, [["a"]]], ALL, TypeError, PATTERNS),
    ("round_to", [2.0, "8", True, [8]], CHANNEL, TypeError, must("int")),
    ("round_to", [0, -8], CHANNEL, ValueError, "must be at least 1, but got {value}."),
    ("min_channels", [2.0, "8", False, None], CHANNEL, TypeError, must("int")),
    ("min_channels", [0, -1], CHANNEL, ValueError, "must be at least 1, but got {value}."),
    ("seed", [1.5, "1", None, True, [1]], CHANNEL, TypeError, must("int")),
    ("seed", [-1], CHANNEL, ValueError, "must be at least 0, but got {value}."),
    ("save_mindir", [1, "yes", None], ALL, TypeError, must("bool")),
    ("input_shape", [(1, -1, 4, 4), (1, 0, 4, 4), (1, True, 4, 4), (1, 1, 4.0, 4), 32, "1,3", [], (), (1, None, 4, 4),
                     [(1, 1), "x"], ARRAY], ALL, ValueError, SIZES),
    ("batch_axis", [1.5, "0", None], ALL[2:], TypeError, must("int")),
    ("knockoff", [5, "random", len], ALL[2:], TypeError, "must be 'Cell',  but got '{kind}'."),
]
CASES = [(algorithm, option, value, error, form) for option, values, algorithms, error, form in OPTIONS
         for algorithm in algorithms for value in values]


@pytest.mark.parametrize(("algorithm", "option", "value", "error", "form"), CASES,
                         ids=[f"{a.__name__[:8]}-{o}-{type(v).__name__}-{k}" for k, (a, o, v, *_) in enumerate(CASES)])
def test_an_option(algorithm, option, value, error, form):
    config = {option: value}
    with pytest.raises((TypeError, ValueError)) as raised:
        algorithm(config)
    text = form.format(value=value, kind=type(value).__name__)
    assert (raised.type, str(raised.value)) == (error, f"For '{algorithm.__name__}', the '{option}' {text}")
    assert config[option] is value


def test_there_are_enough():
    assert len(CASES) >= 150


NESTED = [
    ({"rates": {"a": 1}}, TypeError, "For 'ChannelPruner', the 'rates['a']' must be 'float',  but got 'int'."),
    ({"rates": {"a": -0.5}}, ValueError,
     "For 'ChannelPruner', the 'rates['a']' must be in range of [0.0, 1.0), but got -0.5 with type 'float'."),
    ({"rates": {5: 0.5}}, TypeError, "For 'ChannelPruner', the 'rates' must be a list of cell-name patterns such as "
                                     "['layer1.*'], but got [5]."),
    ({"target": {"macs": 1}}, TypeError, "For 'ChannelPruner', the 'target['macs']' must be 'float',  but got 'int'."),
    ({"target": {"macs": 0.0}}, ValueError, "For 'ChannelPruner', the 'target['macs']' must be in range of (0.0, 1.0), "
                                            "but got 0.0 with type 'float'."),
    ({"target": {"macs": 0.5}, "prune_rate": 0.5}, ValueError, "For 'ChannelPruner', 'prune_rate' and 'target' exclude "
                                                               "each other, but got both; give one."),
    ({"scope": "global"}, ValueError, "For 'ChannelPruner', the 'scope' 'global' needs a 'target', such as {'macs': "
                                      "0.5}, but got none."),
    ({"save_mindir_path": None}, ValueError, "For ChannelPruner, 'save_mindir_path' should be Non-empty string but got "
                                             "None."),
    ({"save_mindir_path": ""}, ValueError,
     "For ChannelPruner, 'save_mindir_path' should be Non-empty string but got ."),
    ([], TypeError, "For 'ChannelPruner', the type of 'config' should be 'dict', but got type 'list'."),
    (5, TypeError, "For 'ChannelPruner', the type of 'config' should be 'dict', but got type 'int'."),
    ("prune_rate", TypeError, "For 'ChannelPruner', the type of 'config' should be 'dict', but got type 'str'."),
]


@pytest.mark.parametrize(("config", "error", "message"), NESTED, ids=[str(case[0])[:40] for case in NESTED])
def test_a_configuration(config, error, message):
    with pytest.raises((TypeError, ValueError)) as raised:
        ChannelPruner(config)
    assert (raised.type, str(raised.value)) == (error, message)


def test_numbers_of_numpy_are_numbers():
    pruner = ChannelPruner(round_to=np.int64(8), seed=np.int32(3), input_shape=(np.int64(1), 1, 4, 4),
                           prune_rate=np.float64(0.5))
    config = pruner._config
    assert (config.round_to, config.seed, config.input_shape) == (8, 3, ((1, 1, 4, 4),))
    assert all(type(n) is int for n in (config.round_to, config.seed, *config.input_shape[0]))


def plain():
    return randomise(nn.SequentialCell(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A dense, a masked, a knockoff network and a slim one, and a checkpoint of each."""
    folder = tmp_path_factory.mktemp("files")
    masked = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(plain())
    nets = {"dense": plain(), "masked": masked, "knockoff": PrunerKfCompressAlgo(residual="couple", input_shape=SHAPE
                                                                                  ).apply(knockable()),
            "slim": ChannelPruner().convert(masked)}
    for name in ("dense", "masked", "knockoff"):
        ms.save_checkpoint(nets[name], str(folder / f"{name}.ckpt"))
    save_pruned(nets["slim"], folder / "slim.ckpt")
    return folder, nets


def refused(call, error, message, files):
    """Whether a call on these files and networks is exactly this error, and leaves all of them as they were."""
    folder, nets = files
    before = {name: state(net) for name, net in nets.items()}
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Exception) as raised:
        call(folder, nets)
    assert (raised.type, str(raised.value)) == (error, message.replace("FOLDER", str(folder)))
    assert all(same_state(before[name], state(net)) for name, net in nets.items())
    assert content == {path.name: path.read_bytes() for path in folder.iterdir()}


def knockable():
    return randomise(nn.SequentialCell(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(),
                                       nn.Conv2d(4, 1, 1)))


def batch(value):
    return ms.Tensor(np.full(SHAPE, value, np.float32))


FOR_LOAD = "for a checkpoint, 'path' must be a path, text or os.PathLike, but got "
FOR_SAVE = "for save_pruned(), 'path' must be a path, text or os.PathLike, but got "
CALLS = {  # what is done with (folder, networks), the error, its message (FOLDER is the folder's path)
    "save_pruned: None": (lambda f, n: save_pruned(n["slim"], None), TypeError, FOR_SAVE + "'NoneType'."),
    "save_pruned: 5": (lambda f, n: save_pruned(n["slim"], 5), TypeError, FOR_SAVE + "'int'."),
    "save_pruned: bytes": (lambda f, n: save_pruned(n["slim"], b"x"), TypeError, FOR_SAVE + "'bytes'."),
    "save_pruned: empty": (lambda f, n: save_pruned(n["slim"], ""), ValueError,
                           "for save_pruned(), 'path' must be the path of a file, but got ''."),
    "save_pruned: zero byte": (lambda f, n: save_pruned(n["slim"], "a\0b"), ValueError,
                               "for save_pruned(), 'path' must be the path of a file, but got 'a\\x00b'."),
    "save_pruned: folder": (lambda f, n: save_pruned(n["slim"], f), ValueError,
                            "for save_pruned(), 'path' must be the path of a file, but FOLDER is a folder."),
    "save_pruned: plan": (lambda f, n: save_pruned(n["slim"], f / "x", "x"), TypeError,
                          "for save_pruned(), 'plan' must be a PrunePlan or None, but got 'str'."),
    "save_pruned: dense": (lambda f, n: save_pruned(n["dense"], f / "x"), CheckpointError,
                           "SequentialCell carries no plan; save the network that convert() or slim() returned, or "
                           "pass its plan."),
    "save_pruned: masked": (lambda f, n: save_pruned(n["masked"], f / "x"), CheckpointError,
                            "SequentialCell has knockoffs or masks; save the network that convert() returns. "
                            "mindspore.save_checkpoint saves a masked network."),
    "save_pruned: no cell": (lambda f, n: save_pruned("net", f / "x"), TypeError,
                             "save_pruned() takes a mindspore.nn.Cell, but got 'str'."),
    "load_pruned: None": (lambda f, n: load_pruned(plain, None), TypeError, FOR_LOAD + "'NoneType'."),
    "load_pruned: 5": (lambda f, n: load_pruned(plain, 5), TypeError, FOR_LOAD + "'int'."),
    "load_pruned: empty": (lambda f, n: load_pruned(plain, ""), ValueError,
                           "for a checkpoint, 'path' must be the path of a file, but got ''."),
    "load_pruned: folder": (lambda f, n: load_pruned(plain, f), ValueError,
                            "for a checkpoint, 'path' must be the path of a file, but FOLDER is a folder."),
    "load_pruned: missing": (lambda f, n: load_pruned(plain, f / "none.ckpt"), CheckpointError,
                             "there is no checkpoint at FOLDER/none.ckpt."),
    "load_pruned: dense": (lambda f, n: load_pruned(plain, f / "dense.ckpt"), CheckpointError,
                           "FOLDER/dense.ckpt has no plan inside; it was not written by save_pruned(). It holds a "
                           "dense network. Load it with mindspore.load_checkpoint(), apply a pruner, and convert what "
                           "apply() returns."),
    "load_pruned: masked": (lambda f, n: load_pruned(plain, f / "masked.ckpt"), CheckpointError,
                            "FOLDER/masked.ckpt has no plan inside; it was not written by save_pruned(). It holds a "
                            "masked network. convert() makes it small: convert(net, path), with a network like the "
                            "original one."),
    "load_pruned: swapped": (lambda f, n: load_pruned(f / "slim.ckpt", plain), TypeError,
                             "load_pruned() takes a function that builds the original network, such as 'lambda: "
                             "resnet20()', but got 'PosixPath'."),
    "load_pruned: network": (lambda f, n: load_pruned(n["dense"], f / "slim.ckpt"), TypeError,
                             "load_pruned() takes a function that builds the original network, such as 'lambda: "
                             "resnet20()', but got 'SequentialCell'."),
    "load_pruned: masked constructor": (lambda f, n: load_pruned(lambda: n["masked"], f / "slim.ckpt"), CheckpointError,
                                        "the constructor must build the original network, but SequentialCell has "
                                        "knockoffs or masks."),
    "convert: slim file": (lambda f, n: ChannelPruner().convert(n["masked"], f / "slim.ckpt"), CheckpointError,
                           "FOLDER/slim.ckpt holds a slim network, but the checkpoint of a masked one is needed. "
                           "load_pruned() reads this file."),
    "convert: dense file": (lambda f, n: ChannelPruner().convert(n["masked"], f / "dense.ckpt"), CheckpointError,
                            "FOLDER/dense.ckpt holds a dense network, but the checkpoint of a masked one is needed. "
                            "Load it with mindspore.load_checkpoint(), apply a pruner, and convert what apply() "
                            "returns."),
    "convert: knockoff file": (lambda f, n: ChannelPruner().convert(n["masked"], f / "knockoff.ckpt"), CheckpointError,
                               "FOLDER/knockoff.ckpt holds a knockoff network, but the checkpoint of a masked one is "
                               "needed. Load it into the knockoff network, and apply PrunerFtCompressAlgo to that."),
    "convert: number": (lambda f, n: ChannelPruner().convert(n["masked"], 5), TypeError, FOR_LOAD + "'int'."),
    "convert: no cell": (lambda f, n: ChannelPruner().convert("net"), TypeError,
                         "For 'ChannelPruner', the 'network' must be 'Cell', but got 'str'."),
    "apply: no cell": (lambda f, n: ChannelPruner().apply(None), TypeError,
                       "For 'ChannelPruner', the 'network' must be 'Cell', but got 'NoneType'."),
    "apply: a class": (lambda f, n: ChannelPruner().apply(nn.Cell), TypeError,
                       "For 'ChannelPruner', the 'network' must be 'Cell', but got 'type'."),
    "prune: a shape": (lambda f, n: prune((1, 3, 4, 4)), TypeError,
                       "For 'ChannelPruner', the 'network' must be 'Cell', but got 'tuple'."),
    "slim: text": (lambda f, n: slim(n["dense"], "x"), TypeError, "slim() takes a PrunePlan, but got 'str'."),
    "slim: no cell": (lambda f, n: slim("net", PrunePlan()), TypeError,
                      "slim() takes a mindspore.nn.Cell, but got 'str'."),
    "summary: no cell": (lambda f, n: summary("net", n["slim"]), TypeError,
                         "for summary(), 'before' must be a mindspore.nn.Cell, but got 'str'."),
    "summary: nothing": (lambda f, n: summary(n["dense"], None), TypeError,
                         "for summary(), 'after' must be a mindspore.nn.Cell, but got 'NoneType'."),
    "summary: swapped": (lambda f, n: summary(n["slim"], n["dense"]), ValueError,
                         "for summary(), 'before' is slim and 'after' is not; give the original network first."),
    "summary: 5": (lambda f, n: summary(n["dense"], n["slim"], 5), TypeError,
                   "for summary(), 'input_shape' must be a shape of positive sizes such as (1, 3, 32, 32), but got 5."),
    "summary: -1": (lambda f, n: summary(n["dense"], n["slim"], (-1, 1, 4, 4)), TypeError,
                    "for summary(), 'input_shape' must be a shape of positive sizes such as (1, 3, 32, 32), but got "
                    "(-1, 1, 4, 4)."),
    "recalibrate: None": (lambda f, n: recalibrate(n["dense"], None), TypeError,
                          "recalibrate() got a 'NoneType'. It takes data: a mindspore.dataset, or a list of batches, "
                          "where a batch is a tensor or a tuple of the network's inputs and the label."),
    "recalibrate: -1": (lambda f, n: recalibrate(n["dense"], [ms.ops.ones(SHAPE)], -1), ValueError,
                        "for recalibrate(), 'steps' must be a number of batches, or None for all, but got -1."),
    "recalibrate: NaN": (lambda f, n: recalibrate(n["dense"], [batch(np.nan)]), PruningError,
                         "recalibrate() found NaN among the network's inputs in batch 1; leave these samples out."),
    "recalibrate: infinite": (lambda f, n: recalibrate(n["dense"], [batch(np.inf)]), PruningError,
                              "recalibrate() found infinite numbers among the network's inputs in batch 1; leave these "
                              "samples out."),
}


@pytest.mark.parametrize(("call", "error", "message"), CALLS.values(), ids=CALLS)
def test_a_call(call, error, message, files):
    refused(call, error, message, files)


WRONG_NUMBERS = [("0.weight", np.nan, "has 4 of 4 values that are NaN"),
                 ("1.gamma", np.inf, "has 4 of 4 values that are infinite"),
                 ("1.moving_mean", -np.inf, "has 4 of 4 values that are infinite"),
                 ("1.moving_variance", -1.0, "is a variance, but has 4 of 4 values below 0")]
READERS = {
    "ChannelPruner.apply()": lambda net: ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(net),
    "PrunerKfCompressAlgo.apply()": lambda net: PrunerKfCompressAlgo(input_shape=SHAPE).apply(net),
    "recalibrate()": lambda net: recalibrate(net, [ms.ops.ones(SHAPE)]),
    "slim()": lambda net: slim(net, PrunePlan()),
    "save_pruned()": lambda net: save_pruned(net, "never.ckpt", PrunePlan()),
}


@pytest.mark.parametrize(("name", "value", "message"), WRONG_NUMBERS, ids=[case[0] for case in WRONG_NUMBERS])
@pytest.mark.parametrize("reader", READERS)
def test_numbers_that_are_none(reader, name, value, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = plain()
    parameter = {p.name: p for p in net.get_parameters()}[name]
    parameter.set_data(ms.Tensor(np.full(parameter.shape, value, np.float32)))
    values = [p.asnumpy().copy() for p in net.get_parameters()]
    with pytest.raises(PruningError) as raised:
        READERS[reader](net)
    assert str(raised.value).startswith(f"{reader}: '{name}' of SequentialCell {message}. The training before has")
    assert all(np.array_equal(old, p.asnumpy(), equal_nan=True) for old, p in zip(values, net.get_parameters()))
    assert not list(tmp_path.iterdir())


class Buffer(nn.Cell):
    """Attention's mask: minus infinity where nothing is looked at, and not trained."""

    def __init__(self):
        super().__init__()
        self.mask = ms.Parameter(np.array([0, -np.inf], np.float32), requires_grad=False)

    def construct(self, x):
        return x + ms.ops.softmax(self.mask, -1)[0]


def test_a_buffer_may_be_infinite(tmp_path):
    small = slim(Buffer(), PrunePlan())
    again = load_pruned(Buffer, save_pruned(small, tmp_path / "x.ckpt"))
    assert np.array_equal(again.mask.asnumpy(), [0, -np.inf])


@pytest.mark.parametrize("name", ["with space", "中文", "ä=ö", "a,b;c", "x" * 200, "[1]*?", "-dash", "%s{0}"])
def test_names_of_files(name, tmp_path, files):
    _, nets = files
    path = save_pruned(nets["slim"], tmp_path / name / name)
    again = load_pruned(plain, path)
    assert path == tmp_path / name / f"{name}.ckpt" and [p.name for p in path.parent.iterdir()] == [path.name]
    assert all(np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in zip(again.get_parameters(),
                                                                        nets["slim"].get_parameters()))


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(CheckpointError, match="x.ckpt is damaged or no MindSpore checkpoint"):
        load_pruned(plain, path)
