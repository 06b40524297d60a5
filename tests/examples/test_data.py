import numpy as np
import pytest
from src.batches import MEAN, STD, Batches, augment, normalise
from src.data import RECORD, Images, load_data, resize
from src.errors import InputError


@pytest.fixture(scope="module")
def digits():
    return load_data(None)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cifar")
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        records = rng.integers(0, 256, (20, RECORD), np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / f"{name}.bin")
    return folder


def batches(images, **keywords):
    return Batches(images, 16, **({"seed": 1, "augment": "crop_flip"} | keywords))


def same(left, right):
    return all(np.array_equal(a, b) and np.array_equal(c, d) for (a, c), (b, d) in zip(left, right))


def test_digits_are_the_default(digits):
    assert (digits.name, len(digits.train), len(digits.evaluation), len(digits.classes)) == ("digits", 1437, 360, 10)
    assert digits.train.pixels.shape == (1437, 3, 32, 32) and digits.train.pixels.dtype == np.uint8
    assert (digits.train.pixels.min(), digits.train.pixels.max()) == (0, 255)
    assert digits.augment == "crop"
    assert set(digits.evaluation.labels) == set(range(10))


def test_cifar_records_are_a_label_and_three_planes(cifar):
    data = load_data(str(cifar))
    raw = np.fromfile(cifar / "data_batch_2.bin", np.uint8).reshape(20, RECORD)
    assert (len(data.train), len(data.evaluation), data.augment) == (100, 20, "crop_flip")
    assert data.train.labels[23] == raw[3, 0]
    assert np.array_equal(data.train.pixels[23].ravel(), raw[3, 1:])


def test_the_holdout_is_the_end_of_the_training_images(cifar):
    whole, data = load_data(str(cifar)), load_data(str(cifar), holdout=30, eval_on="holdout")
    assert np.array_equal(data.evaluation.pixels, whole.train.pixels[70:])
    assert np.array_equal(data.train.pixels, whole.train.pixels[:70])
    assert np.array_equal(load_data(str(cifar), holdout=30).evaluation.pixels, whole.evaluation.pixels)


def test_wrong_folders_are_refused(cifar, tmp_path):
    with pytest.raises(InputError, match=r"has no data_batch_1\.bin"):
        load_data(str(tmp_path))
    for path in cifar.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="no multiple of 3073"):
        load_data(str(tmp_path))
    with pytest.raises(InputError, match=r"holdout must be in \[0, 100\)"):
        load_data(str(cifar), holdout=100)


def test_batches_are_full_and_normalised(digits):
    found = list(batches(digits.train))
    assert len(found) == len(batches(digits.train)) == 1437 // 16
    assert {x.shape for x, _ in found} == {(16, 3, 32, 32)} and {x.dtype for x, _ in found} == {np.dtype("float32")}
    assert {y.dtype for _, y in found} == {np.dtype("int32")}


def test_the_seed_fixes_the_batches_and_each_pass_differs(digits):
    one, two, other = batches(digits.train), batches(digits.train), batches(digits.train, seed=2)
    first = list(one)
    assert same(first, two)
    assert not same(first, other)
    second = list(one)
    assert not same(first, second)
    assert same(second, two)


def test_mindspore_sees_the_same_batches(digits):
    direct = batches(digits.train, steps=5)
    iterator = batches(digits.train, steps=5).dataset().create_tuple_iterator(num_epochs=2)
    for _ in range(2):
        assert same(direct, [(x.asnumpy(), y.asnumpy()) for x, y in iterator])


def test_a_pass_without_augmentation_shows_every_image_once():
    pixels = np.arange(48, dtype=np.uint8).reshape(48, 1, 1, 1) * np.ones((1, 3, 32, 32), np.uint8)
    images = Images(pixels, np.arange(48, dtype=np.int32))
    assert sorted(np.concatenate([y for _, y in batches(images, augment="none")])) == list(range(48))


def test_a_long_pass_goes_on_with_the_next_shuffle(digits):
    few = digits.train.part(slice(0, 40))
    labels = np.concatenate([y for _, y in batches(few, steps=5)])
    assert len(labels) == 80


def test_crops_are_windows_of_the_padded_image():
    pixels = np.random.default_rng(0).integers(1, 256, (200, 3, 32, 32)).astype(np.uint8)
    found = augment(pixels, "crop", np.random.default_rng(1))
    padded = np.pad(pixels, ((0, 0), (0, 0), (4, 4), (4, 4)))
    offsets = set()
    for image, source in zip(found, padded):
        fits = [(i, j) for i in range(9) for j in range(9) if np.array_equal(image, source[:, i:i + 32, j:j + 32])]
        assert len(fits) == 1
        offsets.update(fits)
    assert {i for i, _ in offsets} == {j for _, j in offsets} == set(range(9))


def test_about_half_of_the_images_are_flipped():
    pixels = np.zeros((400, 3, 32, 32), np.uint8)
    pixels[..., 16:] = 255
    found = augment(pixels, "crop_flip", np.random.default_rng(0))
    assert 150 < (found[:, 0, 16, 8] == 255).sum() < 250


def test_normalising_scales_shifts_and_enlarges():
    pixels = np.full((2, 3, 8, 8), 51, np.uint8)
    found = normalise(pixels, 16)
    assert found.shape == (2, 3, 16, 16) and found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to((0.2 - MEAN) / STD, found.shape), rtol=1e-5)


def test_resizing_keeps_linear_images_linear():
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32), (1, 1, 8, 8))
    found = resize(ramp, 32)[0, 0, 5]
    np.testing.assert_allclose(np.diff(found)[2:-2], 0.25, atol=1e-6)
    np.testing.assert_allclose(found.mean(), 3.5, atol=1e-6)


def test_too_few_images_are_refused(digits):
    with pytest.raises(InputError, match="batch_size is 16, but there are only 15"):
        batches(digits.train.part(slice(0, 15)))
