"""A class mixed into one cell and taken out again."""

import copy
import pickle
from types import MethodType

import mindspore as ms
import pytest
from mindspore import nn

from mindspore_gs._mixin import has, mix_in, original_class, take_out


class Plus:
    step = 1.0

    def construct(self, x):
        return super(Plus, self).construct(x) + self.step


class Twice:
    def construct(self, x):
        return super(Twice, self).construct(x) * 2


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(ms.Tensor([3.0]))

    def construct(self, x):
        return x * self.weight


class Jitted(Net):
    @ms.jit
    def construct(self, x):
        return x * self.weight


def run(net, value=1.0):
    return float(net(ms.Tensor([value], ms.float32)).asnumpy()[0])


@pytest.mark.parametrize("kind", [Net, Jitted])
def test_mixed_in_and_taken_out(kind, mode):
    net = mix_in(kind(), Plus, step=4.0)
    assert has(net, Plus) and not has(net, Twice) and isinstance(net, kind) and original_class(net) is kind
    assert type(net) is not kind and type(net).__name__ == kind.__name__
    assert run(net) == 7
    assert type(take_out(net, Plus)) is kind
    assert [p.name for p in net.get_parameters()] == ["weight"]


@pytest.mark.parametrize("first, second, value", [(Plus, Twice, 8), (Twice, Plus, 7)])
@pytest.mark.parametrize("out", ["first", "second"])
def test_nested_in_any_order(first, second, value, out, mode):
    net = mix_in(mix_in(Net(), first), second)
    assert run(net) == value
    gone, stays = (first, second) if out == "first" else (second, first)
    net = copy.deepcopy(take_out(net, gone))
    assert not has(net, gone) and has(net, stays)
    assert run(net) == (4 if stays is Plus else 6)
    assert type(take_out(net, stays)) is Net


@pytest.mark.parametrize("again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_copies_and_pickles(again):
    net = mix_in(mix_in(Net(), Plus, step=5.0), Twice)
    twin = again(net)
    net.weight.set_data(ms.Tensor([100.0]))
    assert run(twin) == 16 and run(net) == 210
    assert has(twin, Plus) and type(take_out(take_out(twin, Plus), Twice)) is Net and has(net, Plus)


def times_ten(self, x):
    return x * 10 * self.weight


@pytest.mark.parametrize("bound", [True, False])
def test_around_a_construct_that_was_set_on_the_object(bound):
    net = Net()
    net.construct = MethodType(times_ten, net) if bound else (lambda x: x * 30)
    before = net.construct
    assert run(net) == 30
    mix_in(net, Plus)
    mix_in(net, Twice)
    assert run(net) == 62
    take_out(net, Plus)
    assert run(net) == 60
    take_out(net, Twice)
    assert type(net) is Net and net.construct == before and run(net) == 30


def test_a_bound_construct_goes_with_the_copy():
    net = Net()
    net.construct = MethodType(times_ten, net)
    twin = copy.deepcopy(mix_in(net, Plus))
    net.weight.set_data(ms.Tensor([0.0]))
    assert run(twin) == 31 and run(net) == 1
    take_out(twin, Plus)
    assert twin.construct.__self__ is twin and run(twin) == 30


def test_each_mixin_once():
    net = mix_in(Net(), Plus)
    with pytest.raises(ValueError, match="Plus is mixed into this Net already"):
        mix_in(net, Plus)
    with pytest.raises(ValueError, match="Twice is not mixed into this Net"):
        take_out(net, Twice)


def test_two_mixins_around_a_jitted_construct(mode):
    net = mix_in(mix_in(Jitted(), Plus), Twice)
    assert run(net) == 8
    assert hasattr(type(net).construct, "__wrapped_by_jit__")
    assert run(take_out(net, Twice)) == 4
    assert type(take_out(net, Plus)) is Jitted and run(net) == 3


def test_around_a_jitted_construct_that_was_set_on_the_object():
    net = Net()
    net.construct = ms.jit(net.construct)
    assert run(mix_in(net, Plus)) == 4
    assert run(take_out(net, Plus)) == 3
