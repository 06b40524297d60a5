"""Golden Stick's interface: configuration, setters, callbacks."""

import logging

import mindspore as ms
import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, load_mindir
from mindspore_gs.comp_algo import CompAlgo, CompAlgoConfig, ExportMindIRCallBack
from mindspore_gs.errors import CheckpointError, PruningError
from tests import networks
from tests.helpers import image, randomise, relative_difference


class Nothing(CompAlgo):
    """An algorithm that does nothing."""

    def apply(self, network, **kwargs):
        """Return the network."""
        return network


def test_the_base_class_leaves_everything_as_it_is():
    algorithm, net = Nothing(), networks.Chain()
    assert algorithm.apply(net) is algorithm.convert(net) is net
    loss = nn.MSELoss()
    assert algorithm.loss(loss) is loss
    assert algorithm.callbacks() == [] and algorithm.summary(net) is None
    assert CompAlgoConfig() == CompAlgoConfig(False, "./network")


def test_apply_must_be_written():
    with pytest.raises(TypeError, match="abstract"):
        CompAlgo({})


@pytest.mark.parametrize("kind", [Nothing, PrunerKfCompressAlgo, PrunerFtCompressAlgo], ids=["own", "kf", "ft"])
def test_save_mindir_gives_a_callback(kind, tmp_path):
    def exports(algorithm):
        return [c for c in algorithm.callbacks() if isinstance(c, ExportMindIRCallBack)]

    algorithm = kind()
    assert exports(algorithm) == []
    algorithm.set_save_mindir(True)
    algorithm.set_save_mindir_path(str(tmp_path / "net"))
    assert len(exports(algorithm)) == 1
    assert len(exports(kind({"save_mindir": True, "save_mindir_path": str(tmp_path / "net")}))) == 1
    algorithm.set_save_mindir(False)
    assert exports(algorithm) == []


@pytest.mark.parametrize("value", [1, 0, "true", None], ids=str)
def test_save_mindir_is_a_bool(value):
    with pytest.raises(TypeError, match=f"For 'Nothing', the 'save_mindir' must be 'bool',  but got "
                                        f"'{type(value).__name__}'."):
        Nothing().set_save_mindir(value)
    with pytest.raises(TypeError, match="'save_mindir' must be 'bool'"):
        Nothing({"save_mindir": value})


@pytest.mark.parametrize("value", ["", "  ", 3, None], ids=repr)
def test_save_mindir_path_is_a_text(value):
    for action in (Nothing(save_mindir=True).set_save_mindir_path, lambda v: Nothing({"save_mindir_path": v})):
        with pytest.raises(ValueError, match="For Nothing, 'save_mindir_path' should be Non-empty string but got "
                                             f"{value}"):
            action(value)


def test_a_path_without_save_mindir_is_warned_about(caplog):
    with caplog.at_level(logging.WARNING, "mindspore_gs"):
        Nothing(save_mindir=True).set_save_mindir_path("net")
        assert not caplog.records
        Nothing().set_save_mindir_path("net")
    assert [r.getMessage() for r in caplog.records] == [
        "'save_mindir_path' takes effect only when 'save_mindir' is True."]


def test_a_failed_setter_changes_nothing():
    algorithm = PrunerFtCompressAlgo(prune_rate=0.25, save_mindir=True)
    before = algorithm._config
    for action, value in ((algorithm.set_save_mindir, 1), (algorithm.set_save_mindir_path, ""),
                          (algorithm.set_prune_rate, 2.0)):
        with pytest.raises((TypeError, ValueError)):
            action(value)
    assert algorithm._config == before


def test_the_callback_exports_with_the_shapes_of_the_data(tmp_path):
    """Two columns of data and a label: two inputs with a batch of one."""
    net = networks.TwoInputs()

    class Data:
        def output_shapes(self):
            return [[4, 3, 8, 8], [4, 2, 8, 8], [4]]

        def output_types(self):
            return ["float32", "float32", "int32"]

    class Context:
        def original_args(self):
            return type("Arguments", (), {"train_dataset": Data(), "network": net})

    ExportMindIRCallBack(Nothing(), str(tmp_path / "net")).on_train_end(Context())
    from mindspore_gs import load_mindir
    x, y = image(1, 3, 8, 8), image(1, 2, 8, 8)
    got, expected = load_mindir(tmp_path / "net.mindir")(x, y), net.set_train(False)(x, y)
    flat = [t for item in got for t in (item if isinstance(item, tuple) else (item,))]
    assert relative_difference(tuple(flat), expected) <= 1e-5
    assert isinstance(expected[0], ms.Tensor)


@pytest.mark.parametrize("around", [lambda net: net, lambda net: nn.WithLossCell(net, nn.CrossEntropyLoss())],
                         ids=["itself", "with the loss"])
def test_a_network_that_is_slim_already_is_exported_as_it_is(around, tmp_path):
    """Callbacks of the pruner that made it, in the training that follows."""
    class Data:
        def output_shapes(self):
            return [[4, 3, 8, 8], [4]]

        def output_types(self):
            return ["float32", "int32"]

    class Context:
        def original_args(self):
            return type("Arguments", (), {"train_dataset": Data(), "network": around(small)})

    pruner = ChannelPruner(prune_rate=0.5, input_shape=(1, 3, 8, 8), save_mindir=True,
                           save_mindir_path=str(tmp_path / "small"))
    small = pruner.shrink(randomise(networks.Chain()))
    next(c for c in pruner.callbacks() if isinstance(c, ExportMindIRCallBack)).on_train_end(Context())
    x = image(1, 3, 8, 8)
    assert relative_difference(load_mindir(tmp_path / "small.mindir")(x), small.set_train(False)(x)) <= 1e-5


def test_a_network_that_was_never_pruned_is_refused_before_the_first_step():
    """Behind the last step, nothing could be exported of it."""
    class Context:
        def original_args(self):
            return type("Arguments", (), {"network": networks.Chain()})

    exported = next(c for c in ChannelPruner(save_mindir=True).callbacks() if isinstance(c, ExportMindIRCallBack))
    with pytest.raises(PruningError, match=r"has no knockoff or masked layers; call apply\(\)"):
        exported.on_train_begin(Context())


def test_the_base_class_loads_the_checkpoint_that_convert_is_given(tmp_path):
    """As the first half of SCOP does. It used to return the network without it."""
    path = str(tmp_path / "net.ckpt")
    net, other = randomise(networks.Chain()), networks.Chain()
    ms.save_checkpoint(net, path)
    loaded, x = Nothing().convert(other, path), image(1, 3, 8, 8)
    assert loaded is not other and relative_difference(loaded.set_train(False)(x), net.set_train(False)(x)) == 0
    with pytest.raises(CheckpointError, match="belongs to another network"):
        Nothing().convert(networks.Gate(), path)
