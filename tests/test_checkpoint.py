"""One file for a slim network: it comes back exactly, and a foreign or broken file is refused by name."""

import json

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import PrunerFtCompressAlgo, load_pruned, save_pruned
from mindspore_gs.checkpoint import kind_of, load_parameters, read_checkpoint
from mindspore_gs.errors import CheckpointError
from tests import networks
from tests.helpers import evaluate, image, masked, randomise, same_state, state, train_steps


@pytest.fixture(params=["keep", "couple"])
def slim_network(request):
    return PrunerFtCompressAlgo().convert(masked(randomise(networks.Long()), residual=request.param))


def test_a_slim_network_comes_back(slim_network, tmp_path, mode):
    slim_network.fc.weight.requires_grad = False
    train_steps(slim_network, 1)
    path = save_pruned(slim_network, tmp_path / "new" / "slim")
    assert path == tmp_path / "new" / "slim.ckpt" and [p.name for p in path.parent.iterdir()] == ["slim.ckpt"]
    again = load_pruned(lambda: networks.Long(), path)
    assert type(again) is networks.Long
    assert [(p.name, p.shape, p.dtype) for p in again.get_parameters()] == [
        (p.name, p.shape, p.dtype) for p in slim_network.get_parameters()]
    for left, right in zip(again.get_parameters(), slim_network.get_parameters()):
        np.testing.assert_array_equal(left.asnumpy(), right.asnumpy())
    x = image(2, 3, 8, 8)
    np.testing.assert_array_equal(evaluate(again, x).asnumpy(), evaluate(slim_network, x).asnumpy())
    assert again.prune_plan == slim_network.prune_plan
    assert save_pruned(again, tmp_path / "twice.ckpt").stat().st_size == path.stat().st_size


def test_a_file_is_replaced_and_can_be_read(slim_network, tmp_path):
    path = save_pruned(slim_network, str(tmp_path / "slim.ckpt"))
    assert path.stat().st_mode & 0o777 == 0o644
    slim_network.fc.bias.set_data(ms.Tensor([7, 8, 9, 10], ms.float32))
    save_pruned(slim_network, path)
    np.testing.assert_array_equal(load_pruned(networks.Long, path).fc.bias.asnumpy(), [7, 8, 9, 10])


def test_half_precision_comes_back(tmp_path):
    """The plan does not depend on types; the constructor gives them."""
    small = PrunerFtCompressAlgo().convert(masked(randomise(networks.Options())))
    for p in small.get_parameters():
        p.set_data(ms.Tensor(p.asnumpy(), ms.float16), slice_shape=True) if p.dtype != ms.float16 else None
    path = save_pruned(small, tmp_path / "half.ckpt")
    again = load_pruned(lambda: networks.Options(ms.float16), path)
    assert {p.dtype for p in again.get_parameters()} == {ms.float16}
    for left, right in zip(again.get_parameters(), small.get_parameters()):
        np.testing.assert_array_equal(left.asnumpy(), right.asnumpy())


def test_a_network_that_is_not_slim_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="Long carries no plan; save the network that convert"):
        save_pruned(networks.Long(), tmp_path / "x.ckpt")
    with pytest.raises(TypeError, match="takes a mindspore.nn.Cell, but got 'str'"):
        save_pruned("net", tmp_path / "x.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(slim_network, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CheckpointError, match="slim.ckpt cannot be written"):
        save_pruned(slim_network, tmp_path / "file" / "slim.ckpt")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(slim_network, tmp_path, monkeypatch):
    path = save_pruned(slim_network, tmp_path / "slim.ckpt")
    before = path.read_bytes()

    def full(entries, name, *args, **kwargs):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ms, "save_checkpoint", full)
    with pytest.raises(CheckpointError, match="slim.ckpt cannot be written: .*No space left on device"):
        save_pruned(slim_network, path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["slim.ckpt"]


def test_a_foreign_network_is_refused(slim_network, tmp_path):
    path = save_pruned(slim_network, tmp_path / "slim.ckpt")
    with pytest.raises(CheckpointError, match="does not fit Chain: the plan slices '"):
        load_pruned(networks.Chain, path)
    with pytest.raises(CheckpointError, match=r"has shape \(4, \d+\) for 'fc.weight', but the network has \(7, \d+\)"):
        load_pruned(lambda: networks.Long(7), path)
    with pytest.raises(CheckpointError, match=r"does not fit Long: the plan expects \d+ channels on axis"):
        load_pruned(lambda: networks.Long(width=2), path)


def test_a_broken_file_is_refused(slim_network, tmp_path):
    path = save_pruned(slim_network, tmp_path / "slim.ckpt")
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        load_pruned(networks.Long, tmp_path / "none.ckpt")
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        load_pruned(networks.Long, cut)
    plain = tmp_path / "plain.ckpt"
    ms.save_checkpoint(networks.Long(), str(plain))
    with pytest.raises(CheckpointError, match="plain.ckpt has no plan inside; it was not written by save_pruned"):
        load_pruned(networks.Long, plain)


@pytest.mark.parametrize("text", [b"{}", b"\xff\xfe", b"[]", b'{"format": 99}', b"", None],
                         ids=["empty", "no_utf8", "list", "format", "nothing", "cell"])
def test_a_broken_plan_is_refused(slim_network, text, tmp_path):
    entries = [{"name": p.name, "data": p} for p in slim_network.get_parameters()]
    if text is None:
        plan = json.loads(slim_network.prune_plan.to_json())
        text = json.dumps(plan | {"restores": [{"cell": "ghost", "size": 8, "indices": 0}]}).encode()
    values = np.frombuffer(text or b" ", np.uint8).astype(np.int32)
    entries.append({"name": "mindspore_gs.plan", "data": ms.Tensor(values)})
    ms.save_checkpoint(entries, str(tmp_path / "bad.ckpt"))
    with pytest.raises(CheckpointError, match="bad.ckpt does not fit Long"):
        load_pruned(networks.Long, tmp_path / "bad.ckpt")


@pytest.mark.parametrize("constructor, message", [
    (networks.Long(), "takes a function that builds the original network, .* but got 'Long'"),
    ("resnet20", "takes a function that builds the original network, .* but got 'str'"),
    (lambda: None, "the constructor must return a mindspore.nn.Cell, but returned 'NoneType'")],
    ids=["network", "text", "none"])
def test_a_wrong_constructor_is_refused(constructor, message, tmp_path):
    small = PrunerFtCompressAlgo().convert(masked(randomise(networks.Chain())))
    path = save_pruned(small, tmp_path / "slim.ckpt")
    with pytest.raises(TypeError, match=message):
        load_pruned(constructor, path)


def test_masks_of_another_policy_are_refused(tmp_path):
    path = str(tmp_path / "masked.ckpt")
    ms.save_checkpoint(masked(randomise(networks.Long()), residual="couple"), path)
    other = masked(randomise(networks.Long(), 1), residual="keep")
    before = state(other)
    with pytest.raises(CheckpointError, match=r"masks '\S+\.out_index', which the network does not; it was made with "
                                              r"another 'residual' option"):
        PrunerFtCompressAlgo().convert(other, path)
    assert same_state(before, state(other))


def test_loading_parameters_is_all_or_nothing(tmp_path):
    net, other = randomise(networks.Long()), randomise(networks.Long(), seed=9)
    entries = [{"name": p.name, "data": p} for p in other.get_parameters()]
    bad = ms.Tensor(np.zeros((9,), np.float32))
    for name, change in (("missing", entries[:-1]), ("shape", entries[:-1] + [{"name": "fc.bias", "data": bad}])):
        ms.save_checkpoint(change, str(tmp_path / f"{name}.ckpt"))
        before = state(net)
        with pytest.raises(CheckpointError, match="'fc.bias'"):
            path = tmp_path / f"{name}.ckpt"
            load_parameters(net, read_checkpoint(path), path)
        assert same_state(before, state(net))
    ms.save_checkpoint(other, str(tmp_path / "good.ckpt"))
    load_parameters(net, read_checkpoint(tmp_path / "good.ckpt"), "good.ckpt")
    assert same_state(state(net), state(other))


def test_the_other_format_of_mindspore_is_read(tmp_path):
    net = masked(randomise(networks.Long()))
    ms.save_checkpoint(net, str(tmp_path / "masked"), format="safetensors")
    small = PrunerFtCompressAlgo().convert(networks.Long(), str(tmp_path / "masked.safetensors"))
    x = image(2, 3, 8, 8)
    assert abs(evaluate(small, x).asnumpy() - evaluate(net, x).asnumpy()).max() < 1e-5
    (tmp_path / "masked.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is no readable MindSpore checkpoint"):
        PrunerFtCompressAlgo().convert(networks.Long(), str(tmp_path / "masked.safetensors"))


def test_a_mask_of_the_users_makes_no_masked_network():
    values = {"attention.mask": ms.Tensor(np.tri(4, dtype=np.float32)), "attention.weight": ms.Tensor([1.0])}
    assert kind_of(values) == "dense" and kind_of(values | {"conv.mask": ms.Tensor([1, 0])}) == "masked"
