"""What a criterion may return, and a loss, and which labels: everything else is refused and no channel is chosen."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from mindspore_gs.pruner.batches import batches_of
from mindspore_gs.pruner.channels import channels_of, score
from mindspore_gs.pruner.evidence import observe

IMAGES = np.random.default_rng(0).standard_normal((6, 3, 4, 4)).astype(np.float32)
LABELS = np.arange(6, dtype=np.int32) % 3


@pytest.fixture(scope="module")
def case():
    ms.set_seed(1)
    net = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dense(4, 3))
    graph = trace(net, (1, 3, 4, 4))
    return net, graph, [group for group in graph.groups() if group.blocked_by is None]


@pytest.mark.parametrize(("given", "error", "words"), [
    (np.ones(4) * 1j, TypeError, "real number.*complex"), (np.array(["1"] * 4), TypeError, "real number"),
    (np.array(["2026-01-01"] * 4, "datetime64[D]"), TypeError, "datetime"), ([[1], [1, 2]], TypeError, "'list'"),
    (np.ones((4, 1)), ValueError, r"\(4, 1\)"), (None, ValueError, "gave shape"),
    (np.array([1, np.nan, 2, 3]), PruningError, "channel 1: nan"),
    ({0: 1, 1: 1, 2: 1, 3: 1}, TypeError, "'dict'")])
def test_scores_that_are_no_numbers(case, given, error, words):
    channels = channels_of(*case)[0]
    with pytest.raises(error, match=words):
        score(lambda _: given, channels)


@pytest.mark.parametrize("given", [[3, 1, 2, 0], np.array([True, False] * 2), ms.Tensor([3, 1, 2, 0], ms.bfloat16),
                                   [ms.Tensor(1.0)] * 4])
def test_scores_of_any_kind_of_number(case, given):
    assert score(lambda _: given, channels_of(*case)[0]).dtype == np.float64


def no_number(output, label):
    return ops.log(-output.abs() - 1).mean()  # its gradients are finite


def of_the_label_alone(output, label):
    return label.float().mean()


def two(output, label):
    return ops.cross_entropy(output, label), output


@pytest.mark.parametrize(("labels", "loss_fn", "words"), [
    (LABELS - 1, None, "label -1 is no class.*0 to 2"), (LABELS + 1, None, "label 3 is no class"),
    (LABELS, no_number, "the loss is nan"), (LABELS, of_the_label_alone, "every gradient is zero"),
    (LABELS, two, "must return one tensor")])
def test_labels_and_losses_that_say_nothing(case, labels, loss_fn, words):
    with pytest.raises(PruningError, match=words):
        observe(*case, [(IMAGES, labels)], loss_fn)


def test_an_empty_batch_is_no_evidence(case):
    with pytest.raises(PruningError, match=r"the loss is nan|shapes \(0, 3, 4, 4\)"):
        observe(*case, [(IMAGES[:0], LABELS[:0])])


def test_samples_without_a_label_are_left_out(case):
    """Cross entropy ignores the label -100."""
    some = np.where(LABELS == 2, -100, LABELS)
    found = [observe(*case, [(IMAGES[rows], some[rows])])["gradient"]["0.weight"] for rows in (slice(None), some >= 0)]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_infinite_inputs_are_refused_and_masks_are_not():
    """A convolution makes NaN of them, and a ReLU zeros of that."""
    image = IMAGES.copy()
    image[0, 0, 0, 0] = np.inf
    for wrong in (image, -image, np.full_like(image, np.inf)):
        with pytest.raises(PruningError, match="infinite numbers.*batch 1"):
            list(batches_of("observe", [wrong]))
    mask = np.where(np.tri(4) > 0, 0, -np.inf).astype(np.float32)
    assert len(list(batches_of("observe", [(IMAGES, mask, LABELS)]))[0]) == 2
