"""The teacher's loss: its value and gradients by hand, and that nothing of the teacher is anywhere."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner, load_pruned, save_pruned
from mindspore_gs.distill import DistillLoss
from tests.helpers import image, randomise
from tests.networks import Identity

LABEL = ms.Tensor([0, 3, 1, 2], ms.int32)


class WithFeatures(nn.Cell):
    """Logits and two maps."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Dense(3, 5), nn.Dense(5, 4)

    def construct(self, x):
        y = self.a(x)
        z = ops.relu(y)
        return self.b(z), y, z


class OwnLoss(nn.Cell):
    """A loss cell of the user's own, which renames all parameters."""

    def __init__(self, distill):
        super().__init__()
        self.distill = distill

    def construct(self, x, y):
        return self.distill(x, y) * 2


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def networks():
    student, teacher = randomise(Identity(), 1), randomise(Identity(), 2)
    return student, teacher


def by_hand(student, teacher, x, temperature, weight):
    s = student.set_train(True)(x).asnumpy().astype(np.float64)
    t = teacher.set_train(False)(x).asnumpy().astype(np.float64)
    p, q = softmax(t / temperature), softmax(s / temperature)
    hard = -np.log(softmax(s)[np.arange(4), LABEL.asnumpy()]).mean()
    return (1 - weight) * hard + weight * temperature**2 * (p * np.log(p / q)).sum(1).mean()


@pytest.mark.parametrize("temperature, weight", [(4.0, 0.5), (1.0, 0.9), (2.5, 1.0), (3, 0)])
def test_the_loss_is_hintons(temperature, weight):
    student, teacher = networks()
    x = image(4, 3, 8, 8)
    wanted = by_hand(student, teacher, x, temperature, weight)
    loss = DistillLoss(student, nn.CrossEntropyLoss(), teacher, temperature, weight).set_train()
    assert float(loss(x, LABEL)) == pytest.approx(wanted, rel=1e-4)  # the exponential of a CPU is good to 1e-5


def test_gradients_reach_the_student_only(mode):
    """And they are those of the softened cross entropy: (softmax(s / T) - softmax(t / T)) T / N for the logits."""
    ms.set_seed(3)
    student, teacher = nn.Dense(3, 4), nn.Dense(3, 4)
    loss = DistillLoss(student, nn.CrossEntropyLoss(), teacher, 2.0, 1.0)
    x = image(4, 3)
    _, grads = ms.value_and_grad(loss, None, ms.ParameterTuple(loss.trainable_params()))(x, LABEL)
    assert [p.name for p in loss.trainable_params()] == ["weight", "bias"]
    s, t = student(x).asnumpy(), teacher(x).asnumpy()
    assert np.allclose(grads[1].asnumpy(), ((softmax(s / 2) - softmax(t / 2)) * 2 / 4).sum(0), atol=1e-6)


def test_model_train_learns_from_the_teacher_alone(mode, tmp_path):
    """With weight 1 the labels do not count; the checkpoint has the student's names and nothing else of a network."""
    student, teacher = networks()
    before = [p.asnumpy().copy() for p in teacher.get_parameters()]
    loss = DistillLoss(student, nn.CrossEntropyLoss(), teacher, 4.0, 1.0)
    data = [(image(4, 3, 8, 8, seed=k).asnumpy(), LABEL.asnumpy()) for k in range(4)]
    x = image(4, 3, 8, 8)
    wanted = teacher.set_train(False)(x).asnumpy()
    first = np.abs(student.set_train(False)(x).asnumpy() - wanted).mean()
    model = ms.Model(loss, optimizer=nn.Adam(loss.trainable_params(), 0.02))
    saved = ms.train.ModelCheckpoint("student", str(tmp_path), ms.train.CheckpointConfig(save_checkpoint_steps=4))
    dataset = ms.dataset.GeneratorDataset(data, ["x", "y"], shuffle=False)
    model.train(12, dataset, [saved], dataset_sink_mode=False)
    assert np.abs(student.set_train(False)(x).asnumpy() - wanted).mean() < 0.5 * first
    assert all(np.array_equal(a, p.asnumpy()) for a, p in zip(before, teacher.get_parameters()))
    entries = ms.load_checkpoint(str(max(tmp_path.glob("*.ckpt"), key=lambda file: file.stat().st_mtime)))
    names = {p.name for p in Identity().get_parameters()}
    assert names <= entries.keys()
    assert not [name for name in entries if "teacher" in name]
    assert ms.load_param_into_net(Identity(), entries)[0] == []


def test_the_teacher_stays_frozen_and_in_evaluation_mode(mode):
    student, teacher = networks()
    teacher.set_train(True)
    loss = DistillLoss(student, nn.CrossEntropyLoss(), teacher)
    loss.set_train(True).set_grad(True)
    moving = loss.teacher.bn0.moving_mean.asnumpy().copy()
    loss(image(4, 3, 8, 8), LABEL)
    assert np.array_equal(moving, loss.teacher.bn0.moving_mean.asnumpy())
    assert not np.array_equal(student.bn0.moving_mean.asnumpy(), Identity().bn0.moving_mean.asnumpy())
    assert not any(cell.training for _, cell in loss.teacher.cells_and_names())
    assert not loss.teacher.trainable_params()
    assert teacher.training and len(teacher.trainable_params()) == len(list(loss.trainable_params()))


def test_a_masked_student_is_converted_saved_and_loaded(graph_mode, tmp_path):
    """Also where a loss cell of the user's own has renamed every parameter."""
    student, teacher = networks()
    algorithm = ChannelPruner(prune_rate=0.5, input_shape=(1, 3, 8, 8))
    student = algorithm.apply(student)
    own = OwnLoss(DistillLoss(student, nn.CrossEntropyLoss(), teacher))
    step = nn.TrainOneStepCell(own, nn.SGD(own.trainable_params(), 0.05)).set_train()
    losses = [float(step(image(4, 3, 8, 8), LABEL)) for _ in range(4)]
    assert losses[-1] < losses[0]
    small = algorithm.convert(student)
    assert small.a.out_channels == 3
    step = DistillLoss(small, nn.CrossEntropyLoss(), teacher)
    step = nn.TrainOneStepCell(step, nn.SGD(step.trainable_params(), 0.05)).set_train()
    losses = [float(step(image(4, 3, 8, 8), LABEL)) for _ in range(4)]
    assert losses[-1] < losses[0]
    again = load_pruned(Identity, save_pruned(small, tmp_path / "small.ckpt"))
    x = image(2, 3, 8, 8)
    assert np.allclose(small.set_train(False)(x).asnumpy(), again.set_train(False)(x).asnumpy(), atol=1e-6)


@pytest.mark.parametrize("level", ["O2", "O3"])
def test_mixed_precision_reaches_the_student_only(level):
    student, teacher = networks()
    x = image(4, 3, 8, 8)
    wanted = by_hand(student, teacher, x, 4.0, 0.5)
    loss = DistillLoss(student, nn.CrossEntropyLoss(), teacher)
    optimizer = nn.SGD(loss.trainable_params(), 0.01)
    model = ms.Model(loss, optimizer=optimizer, amp_level=level, loss_scale_manager=None)
    got = model.train_network(x, LABEL)
    assert got.dtype == ms.float32
    assert float(got) == pytest.approx(wanted, rel=0.02)
    assert student.a.fp16
    assert not any(getattr(cell, "fp16", False) for _, cell in loss.teacher.cells_and_names())


def test_features_add_their_relative_distance(mode):
    ms.set_seed(5)
    student, teacher = WithFeatures(), WithFeatures()
    plain = DistillLoss(student, lambda out, y: nn.CrossEntropyLoss()(out[0], y), teacher, weight=1.0)
    both = DistillLoss(student, lambda out, y: nn.CrossEntropyLoss()(out[0], y), teacher, weight=1.0, feature_weight=3)
    x = image(4, 3)
    s, t = (net.set_train(False)(x) for net in (student, teacher))
    wanted = sum(((a - b)**2).sum() / (b**2).sum() for a, b in zip((o.asnumpy() for o in s[1:]),
                                                                   (o.asnumpy() for o in t[1:])))
    assert float(both(x, LABEL)) - float(plain(x, LABEL)) == pytest.approx(3 * wanted, rel=1e-4)


def test_wrong_arguments_are_refused():
    student, teacher = networks()
    loss = nn.CrossEntropyLoss()
    with pytest.raises(TypeError, match="'teacher' must be a mindspore.nn.Cell, but got 'function'"):
        DistillLoss(student, loss, networks)
    with pytest.raises(TypeError, match="must be a network, but got the loss 'CrossEntropyLoss'; mind the order"):
        DistillLoss(student, teacher, loss)
    with pytest.raises(ValueError, match="student and teacher are the same object"):
        DistillLoss(student, loss, student)
    with pytest.raises(TypeError, match="'loss_fn' must be a Cell or a function"):
        DistillLoss(student, None, teacher)
    with pytest.raises(ValueError, match=r"'weight' must be in \[0, 1\], but got 1.5"):
        DistillLoss(student, loss, teacher, weight=1.5)
    with pytest.raises(ValueError, match=r"'temperature' must be in \(0, inf\), but got 0"):
        DistillLoss(student, loss, teacher, temperature=0)
    with pytest.raises(TypeError, match="'temperature' must be a number, but got 'str'"):
        DistillLoss(student, loss, teacher, temperature="4")


def test_what_does_not_fit_is_refused_when_called(mode):
    x = image(4, 3)
    with pytest.raises(ValueError, match="student returns logits of shape .4, 5., but the teacher of shape .4, 4."):
        DistillLoss(nn.Dense(3, 5), nn.CrossEntropyLoss(), nn.Dense(3, 4))(x, LABEL)
    with pytest.raises(ValueError, match="return 1 class along axis 1"):
        DistillLoss(nn.Dense(3, 1), nn.CrossEntropyLoss(), nn.Dense(3, 1))(x, LABEL)
    with pytest.raises(ValueError, match="must return a scalar, but returned shape .4"):
        DistillLoss(nn.Dense(3, 4), nn.CrossEntropyLoss(reduction="none"), nn.Dense(3, 4))(x, LABEL)
    with pytest.raises(ValueError, match="returned no tensor"):
        DistillLoss(nn.Dense(3, 4), no_loss, nn.Dense(3, 4))(x, LABEL)
    with pytest.raises(ValueError, match="inputs and the label, but got 1 argument"):
        DistillLoss(nn.Dense(3, 4), nn.CrossEntropyLoss(), nn.Dense(3, 4))(x)
    with pytest.raises(ValueError, match="must return tuples of the same length"):
        DistillLoss(nn.Dense(3, 4), nn.CrossEntropyLoss(), nn.Dense(3, 4), feature_weight=1.0)(x, LABEL)


class Named(nn.Cell):
    """A dict, or a list, of outputs."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.a = kind, nn.Dense(3, 4)

    def construct(self, x):
        y = self.a(x)
        if self.kind == "list":
            return [y, x]
        return {"features": x, self.kind: y}


def no_loss(out, y):
    return out, y


def named(out, y):
    return ops.cross_entropy(out["logits"], y)


def first(out, y):
    return ops.cross_entropy(out[0], y)


def test_outputs_in_dicts_and_lists(mode):
    """The logits are the entry of that name, or the first; the loss of the task gets all of it."""
    x = image(4, 3)
    student, teacher = randomise(nn.Dense(3, 4), 1), randomise(nn.Dense(3, 4), 2)
    wanted = float(DistillLoss(student, nn.CrossEntropyLoss(), teacher)(x, LABEL))
    for kind, task in (("logits", named), ("list", first)):
        pair = Named(kind), Named(kind)
        for net, other in zip(pair, (student, teacher)):
            net.a.weight.set_data(other.weight.value())
            net.a.bias.set_data(other.bias.value())
        assert float(DistillLoss(pair[0], task, pair[1])(x, LABEL)) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match="under the key 'logits'"):
        DistillLoss(Named("out"), first, Named("out"))(x, LABEL)
