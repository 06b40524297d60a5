"""What differs between versions of MindSpore, with stand-ins for what another version has."""

from types import SimpleNamespace

import mindspore as ms
import pytest
from mindspore.train import mind_ir_pb2

from mindspore_gs import _versions
from mindspore_gs._versions import read_note, remember_trainable, version_of, write_note


class Pairs(list):
    """How protobuf shows a map whose description is of an old kind, as up to MindSpore 2.9."""

    def add(self, key):
        self.append(SimpleNamespace(key=key, value=""))
        return self[-1]


@pytest.mark.parametrize("model", [mind_ir_pb2.ModelProto(), SimpleNamespace(user_info=Pairs())],
                         ids=["of this version", "list"])
def test_notes_of_a_mindir(model):
    assert read_note(model, "a") is None
    for value in ("1", "2"):
        write_note(model, "a", value)
        write_note(model, "b", "other")
        assert (read_note(model, "a"), read_note(model, "b"), read_note(model, "c")) == (value, "other", None)
    assert len(model.user_info) == 2


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_parameters_that_are_frozen_for_a_while_train_again(mode, monkeypatch):
    """What MindSpore 2.7 needs does no harm elsewhere; that it helps there is seen with 2.7 (see noxfile.py)."""
    monkeypatch.setattr(_versions, "_FORGETS_FROZEN", version_of(ms.__version__))
    ms.set_context(mode=mode)
    weights = [ms.Parameter(ms.Tensor([float(k)]), name=str(k), requires_grad=k != 2) for k in range(3)]
    remember_trainable(weights)
    remember_trainable(weights[2:])
    assert [weight.requires_grad for weight in weights] == [True, True, False]

    def loss(x):
        return (weights[0] + 2 * weights[1]).sum() * x

    for frozen in (True, False):
        for weight in weights[:2]:
            weight.requires_grad = not frozen
        found = ms.grad(loss, None, weights[:2])(ms.Tensor(3.0))
    assert [float(gradient.asnumpy()[0]) for gradient in found] == [3, 6]
