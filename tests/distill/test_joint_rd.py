"""JointRD: its loss by hand, what it trains and what it leaves alone, its schedule, and the network that comes out."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops
from src.models.resnet_cifar import CifarResNet

from mindspore_gs import ChannelPruner, load_mindir
from mindspore_gs.distill import JointRD, plain_network
from mindspore_gs.distill.margin_relu import MarginReLULoss, margins
from mindspore_gs.errors import PruningError
from mindspore_gs.export import export_mindir
from mindspore_gs.graph import trace
from mindspore_gs.norms import batch_norm
from tests.distill.test_plain import PreActivation
from tests.helpers import image, randomise
from tests.networks import Identity

SHAPE = (1, 3, 8, 8)
LABEL = ms.Tensor([0, 3, 1, 2], ms.int32)
LOSS = nn.CrossEntropyLoss()


def joint_of(net=None, **options):
    return JointRD(net or randomise(Identity(), 2), nn.CrossEntropyLoss(), SHAPE, **options)


def tail(net, features):
    """What the toy network does behind its block."""
    return net.fc(features.mean((2, 3)))


def by_hand(joint, teacher, x, m, kl=0.0):
    """Cross entropy of the student and of its features in the teacher's head, and the divergence."""
    s, t = joint.student, teacher.set_train(False)
    y = s.relu(s.bn0(s.stem(x)))
    before = s.bn2(s.b(s.relu(s.bn1(s.a(y)))))
    features = ops.relu(before)
    own = LOSS(tail(s, features), LABEL)
    if kl:
        p, q = (ops.log_softmax(z / 4, 1) for z in (t(x), tail(s, features)))
        own = (1 - kl) * own + kl * 16 * (ops.exp(p) * (p - q)).sum(1).mean()
    return float((own + m * LOSS(tail(t, features), LABEL)) / 2)


@pytest.mark.parametrize("m, kl", [(1.0, 0.0), (0.25, 0.0), (0.5, 0.9)])
def test_the_loss_is_the_papers(m, kl):
    teacher = randomise(Identity(), 2)
    joint = joint_of(teacher, feature_weight=0, kl=kl, final=m).set_train(False)
    joint.at(1.0)
    x = image(4, 3, 8, 8)
    wanted = by_hand(joint, teacher, x, m, kl)
    assert float(joint(x, LABEL)) == pytest.approx(wanted, rel=1e-4)


def test_features_are_compared_in_front_of_the_activation():
    teacher = randomise(Identity(), 2)
    with_features, without = joint_of(teacher, feature_weight=0.01), joint_of(teacher, feature_weight=0)
    for joint in (with_features, without):
        joint.set_train(False)
    x = image(4, 3, 8, 8)
    s, t = with_features.student, teacher.set_train(False)
    said = s.bn2(s.b(s.relu(s.bn1(s.a(s.relu(s.bn0(s.stem(x))))))))
    y = t.relu(t.bn0(t.stem(x)))
    wanted = y + t.bn2(t.b(t.relu(t.bn1(t.a(y)))))
    distance = with_features.distances[0](said, wanted)
    assert float(with_features(x, LABEL)) - float(without(x, LABEL)) == pytest.approx(0.01 * float(distance), rel=1e-3)


def test_the_margin_loss_by_hand():
    loss = MarginReLULoss(2, np.array([-0.5, -1.0], np.float32)).set_train(False)
    loss.connector = nn.Identity()
    student, teacher = image(3, 2, 4, 4, seed=1), image(3, 2, 4, 4, seed=2)
    s, t = student.asnumpy(), np.maximum(teacher.asnumpy(), np.array([-0.5, -1.0]).reshape(1, 2, 1, 1))
    wanted = np.where((s <= t) & (t <= 0), 0, (s - t)**2).sum() / 3
    assert float(loss(student, teacher)) == pytest.approx(wanted, rel=1e-5)


def test_margins_are_the_mean_of_what_is_negative():
    norm = nn.BatchNorm2d(3)
    gamma, beta = np.array([1.0, -2.0, 0.5], np.float32), np.array([0.0, 1.0, 3.0], np.float32)
    norm.gamma.set_data(ms.Tensor(gamma))
    norm.beta.set_data(ms.Tensor(beta))
    draws = np.random.default_rng(0).normal(size=(400000, 3)) * np.abs(gamma) + beta
    found = margins(batch_norm(norm))
    assert np.allclose(found[:2], [draws[draws[:, k] < 0, k].mean() for k in range(2)], atol=0.02)
    assert found[2] == -1.5  # hardly anything is negative


def test_training_reaches_the_student_and_the_connectors_only(mode):
    """Model.train; the teacher's copy is frozen, m falls as the schedule says."""
    teacher = randomise(Identity(), 2)
    joint = JointRD(teacher, nn.CrossEntropyLoss(), SHAPE)
    assert [block.layers for block in joint.blocks] == [("a", "bn1", "b", "bn2")]
    names = [p.name for p in joint.trainable_params()]
    student = [p.name for p in joint.student.trainable_params()]
    assert set(names) - set(student) == {f"0.connector.{n}" for n in ("0.weight", "1.gamma", "1.beta")}
    assert student == [p.name for p in Identity().trainable_params()]
    before = [p.asnumpy().copy() for net in (teacher, joint.teacher) for p in net.get_parameters()]
    y = np.arange(8, dtype=np.int32) % 4
    data = ms.dataset.GeneratorDataset([(image(8, 3, 8, 8).asnumpy(), y)] * 5, ["x", "y"], shuffle=False)
    seen = Recorder(joint)
    model = ms.Model(joint, optimizer=nn.Momentum(joint.trainable_params(), 0.05, 0.9))
    model.train(5, data, [*joint.callbacks(), seen], dataset_sink_mode=False)
    assert seen.m == pytest.approx([joint.share_of_mixed_paths(k / 25) for k in range(25)])
    assert (seen.m[0], seen.m[8], seen.m[-1]) == (1.0, 0.5, 0.5)
    assert seen.loss[-1] < 0.9 * seen.loss[8]  # m is the same from there on
    model.train(5, data, [*joint.callbacks(), seen], dataset_sink_mode=False, initial_epoch=4)
    assert seen.m[25:] == pytest.approx([joint.share_of_mixed_paths(k / 25) for k in range(20, 25)])
    seen.m.clear()
    model.train(10, data, [*joint.callbacks(), seen], dataset_sink_mode=False, initial_epoch=1)
    assert seen.m == pytest.approx([joint.share_of_mixed_paths(k / 50) for k in range(5, 50)])
    after = [p.asnumpy() for net in (teacher, joint.teacher) for p in net.get_parameters()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


class Recorder(ms.train.Callback):
    """m and the loss of each step."""

    def __init__(self, joint):
        super().__init__()
        self.joint, self.m, self.loss = joint, [], []

    def on_train_step_end(self, run_context):
        self.m.append(float(self.joint.m))
        self.loss.append(float(run_context.original_args().net_outputs))


def test_gradients_of_the_student_by_differences():
    """Through the mixed path as well: the directional derivative of the loss along the gradient of one layer."""
    joint = joint_of(feature_weight=0.01).set_train(False)
    x = image(4, 3, 8, 8)
    weight = joint.student.a.weight
    _, (gradient,) = ms.value_and_grad(joint, None, ms.ParameterTuple([weight]))(x, LABEL)
    gradient, value = gradient.asnumpy(), weight.asnumpy().copy()
    direction, step, losses = gradient / np.linalg.norm(gradient), 3e-3, []
    for sign in (1, -1):
        weight.set_data(ms.Tensor((value + sign * step * direction).astype(np.float32)))
        losses.append(float(joint(x, LABEL)))
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(np.linalg.norm(gradient), rel=0.05)


def test_a_step_of_the_teacher_that_fails_leaves_it_in_evaluation_mode():
    joint = joint_of(randomise(Identity(), 2))
    step = joint.teacher_step(nn.SGD(list(joint.teacher.get_parameters()), 0.1))
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        step(image(4, 5, 8, 8), LABEL)
    assert not any(cell.training for _, cell in joint.teacher.cells_and_names())


def test_the_teacher_takes_its_own_step(mode):
    """Same as training the teacher alone: the mixed paths leave it alone. Custom loop."""
    teacher, alone = randomise(Identity(), 2), randomise(Identity(), 2)
    joint = joint_of(teacher)
    step = joint.teacher_step(nn.SGD(list(joint.teacher.get_parameters())[:2], 0.1))
    optimizer = nn.SGD(joint.trainable_params(), 0.1)
    grad = ms.value_and_grad(joint, None, optimizer.parameters)
    alone_step = nn.TrainOneStepCell(nn.WithLossCell(alone, nn.CrossEntropyLoss()),
                                     nn.SGD(list(alone.get_parameters())[:2], 0.1)).set_train()
    joint.set_train()
    x = image(4, 3, 8, 8)
    losses = []
    for k in range(3):
        joint.at(k / 3)
        loss, grads = grad(x, LABEL)
        optimizer(grads)
        step(x, LABEL)
        alone_step(x, LABEL)
        losses.append(float(loss))
    assert np.allclose(joint.teacher.stem.weight.asnumpy(), alone.stem.weight.asnumpy(), atol=1e-5)
    assert not np.array_equal(joint.teacher.stem.weight.asnumpy(), teacher.stem.weight.asnumpy())
    assert np.allclose(joint.teacher.bn0.moving_mean.asnumpy(), alone.bn0.moving_mean.asnumpy(), atol=1e-5)
    assert not joint.teacher.training and losses[-1] < losses[0]


@pytest.mark.parametrize("how", [ms.PYNATIVE_MODE, pytest.param(ms.GRAPH_MODE, marks=pytest.mark.slow)])
def test_dirac_kernels_settle_into_plain_ones(how, tmp_path):
    ms.set_context(mode=how)
    teacher = randomise(CifarResNet(1), 2)
    joint = JointRD(teacher, nn.CrossEntropyLoss(), SHAPE, dirac=True)
    weights = {name: net.layer1[0].conv1.weight.asnumpy() for name, net in (("dense", teacher), ("own", joint.student))}
    assert np.array_equal(weights["dense"], weights["own"])
    extra = [p.name for p in joint.student.get_parameters() if "dirac" in p.name]
    assert len(extra) == 2 * 4 and "layer1.0.conv1.dirac_beta" in extra  # two in layer1, conv2 in layer2 and layer3
    optimizer = nn.Momentum(joint.trainable_params(), 0.05, 0.9, weight_decay=1e-3)
    grad = ms.value_and_grad(joint, None, optimizer.parameters)
    for _ in range(2):
        optimizer(grad(image(4, 3, 8, 8), LABEL)[1])
    plain = joint.convert()
    x = image(1, 3, 8, 8)
    wanted = joint.student.set_train(False)(x).asnumpy()
    assert np.allclose(plain.set_train(False)(x).asnumpy(), wanted, atol=1e-4 * np.abs(wanted).max())
    assert {p.name for p in plain.get_parameters()} == {p.name for p in teacher.get_parameters()}
    assert type(plain.layer1[0].conv1) is nn.Conv2d
    assert trace(plain, SHAPE).sums == []
    small = ChannelPruner(prune_rate=0.5, residual="inner", input_shape=SHAPE)
    small = small.convert(small.apply(plain))
    assert small.layer2[0].conv2.out_channels == 16
    loaded = load_mindir(export_mindir(small, x, tmp_path / "small"))
    assert np.allclose(loaded(x).asnumpy(), small.set_train(False)(x).asnumpy(), rtol=1e-3, atol=1e-3)


def test_blocks_can_be_chosen():
    teacher = CifarResNet(2)
    assert [b.layers[0] for b in JointRD(teacher, LOSS, SHAPE).blocks] == [f"layer{k}.1.conv1" for k in (1, 2, 3)]
    assert len(JointRD(teacher, LOSS, SHAPE, blocks="all").blocks) == 6
    assert [b.layers[0] for b in JointRD(teacher, LOSS, SHAPE, blocks=[0, 3]).blocks] == ["layer1.0.conv1",
                                                                                       "layer2.1.conv1"]
    fresh = CifarResNet(2)
    student = JointRD(teacher, LOSS, SHAPE, student=fresh).student
    assert np.array_equal(student.conv1.weight.asnumpy(), fresh.conv1.weight.asnumpy())


def test_pre_activation_networks_need_no_norm_for_their_paths():
    with pytest.raises(PruningError, match="ends in 'a', which is no BatchNorm.*Give feature_weight=0"):
        joint_of(PreActivation(), blocks="all")
    joint = joint_of(PreActivation(), blocks="all", feature_weight=0).set_train(False)
    assert np.isfinite(float(joint(image(4, 3, 8, 8), LABEL)))
    assert len(joint.blocks) == 2


def test_wrong_arguments_are_refused():
    net = Identity()
    with pytest.raises(TypeError, match="'teacher' must be a mindspore.nn.Cell"):
        JointRD(Identity, LOSS)
    with pytest.raises(PruningError, match="has no parameter of the teacher's copy"):
        joint_of(net).teacher_step(nn.SGD(net.trainable_params(), 0.1))
    with pytest.raises(TypeError, match="'loss_fn' must be a Cell or a function"):
        JointRD(net, "loss", SHAPE)
    with pytest.raises(ValueError, match="'blocks' must be 'stages', 'all' or numbers from 0 to 0, but got .1."):
        joint_of(net, blocks=[1])
    with pytest.raises(ValueError, match=r"'final' must be in \[0, 1\], but got 2"):
        joint_of(net, final=2)
    with pytest.raises(ValueError, match="student and teacher are the same object"):
        joint_of(net, student=net)
    with pytest.raises(ValueError, match="'student' must be another Identity with parameters"):
        joint_of(net, student=PreActivation())
    with pytest.raises(PruningError, match="no identity shortcut"):
        joint_of(plain_network(net, SHAPE))
