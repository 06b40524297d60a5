"""Damaged files: one clear error, or the same numbers; never a crash, and never other numbers."""

import json
import random
import re
import zlib
from dataclasses import replace
from functools import cache

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, load_pruned, save_pruned
from mindspore_gs._checkpoint_file import DamagedError, check_bytes, check_file
from mindspore_gs.checkpoint import read_checkpoint
from mindspore_gs.errors import CheckpointError, PlanError
from mindspore_gs.slim import PrunePlan, slim
from tests import networks
from tests.helpers import masked, randomise

SHAPE = (1, 1, 4, 4)


def numbers(net):
    return {p.name: p.asnumpy() for p in net.get_parameters()}


def same_numbers(one, other):
    return list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)


def small_network():
    return nn.SequentialCell(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def masked_small():
    return ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(small_network()))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A slim network, its file, and that of an earlier version: without checksums."""
    folder = tmp_path_factory.mktemp("files")
    small = ChannelPruner(input_shape=SHAPE).convert(masked_small())
    file = save_pruned(small, folder / "slim.ckpt")
    plan = json.loads(small.prune_plan.to_json())
    del plan["checksum"]
    entries = [{"name": p.name, "data": p} for p in small.get_parameters()]
    text = np.frombuffer(json.dumps(plan).encode(), np.uint8).astype(np.int32)
    old = folder / "old.ckpt"
    ms.save_checkpoint([*entries, {"name": "mindspore_gs.plan", "data": ms.Tensor(text)}], str(old))
    return small, file.read_bytes(), old.read_bytes()


def outcome(content, path, expected):
    """"error" for one clear error, "same" for identical numbers; anything else fails the test."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    try:
        found = load_pruned(small_network, path)
    except CheckpointError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
        return "error"
    assert same_numbers(numbers(found), numbers(expected)) and found.prune_plan == expected.prune_plan
    return "same"


def test_the_whole_file_and_that_of_an_earlier_version_load(saved, tmp_path):
    small, new, old = saved
    assert new[-17:-10] == b"crc_num" and int.from_bytes(new[-10:], "big") == zlib.crc32(new[:-17])
    assert b"crc_num" not in old
    assert [outcome(content, tmp_path / "x.ckpt", small) for content in (new, old)] == ["same", "same"]


def test_every_prefix(saved, tmp_path):
    """The file without its checksum has all numbers; every other prefix is an error."""
    small, new, old = saved
    for content, whole in ((new, [len(new) - 17]), (old, [])):
        same = [size for size in range(len(content)) if outcome(content[:size], tmp_path / "x.ckpt", small) == "same"]
        assert same == whole


def test_every_bit(saved, tmp_path):
    small, new, _ = saved
    changed, missed = bytearray(new), []
    for bit in range(8 * len(new)):
        changed[bit // 8] ^= 1 << bit % 8
        try:
            check_bytes(memoryview(changed))
            missed.append(bit)
        except DamagedError:
            pass
        if bit % 101 == 0:
            assert outcome(bytes(changed), tmp_path / "x.ckpt", small) == "error"
        changed[bit // 8] ^= 1 << bit % 8
    assert bytes(changed) == new and not missed


@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.slow)], ids=["one of each byte", "all"])
def test_every_bit_of_the_frame_in_a_file_without_checksum(saved, bits, tmp_path):
    """Contents cannot be known there; sizes, names, types and shapes are compared."""
    small, _, old = saved
    path = tmp_path / "x.ckpt"
    frames = [k for k in range(len(old)) if not _in_content(old, k)]
    assert len(frames) > 150
    found = []
    for byte in frames:
        for bit in range(bits):
            changed = bytearray(old)
            changed[byte] ^= 1 << (byte + bit) % 8
            found.append(outcome(bytes(changed), path, small))
    assert found.count("error") == len(found)


def _in_content(content, place):
    return any(begin <= place < end for begin, end in _contents(content))


def _contents(content):
    """Where the numbers of each entry lie: written down independently of the package, with MindSpore's own protobuf."""
    from mindspore.train.checkpoint_pb2 import Checkpoint

    message = Checkpoint()
    message.ParseFromString(content)
    found = []
    for value in message.value:
        data = value.tensor.tensor_content
        begin = content.index(data, content.index(value.tag.encode()))
        found.append((begin, begin + len(data)))
    return found


def test_random_damage(saved, tmp_path):
    """Bytes changed, left out, doubled, moved; zeros; other files: seeded, both kinds of files."""
    small, new, old = saved
    draw = random.Random(0)
    for k in range(300):
        content = bytearray(new if k % 2 else old)
        begin = draw.randrange(len(content))
        end = min(len(content), begin + draw.choice((1, 2, 7, 64, 500)))
        kind = draw.randrange(5)
        piece = bytes(content[begin:end])
        content[begin:end] = (b"", piece * 2, bytes(len(piece)), draw.randbytes(len(piece)), b"\xff" * len(piece))[kind]
        path = tmp_path / "x.ckpt"
        path.write_bytes(content)
        try:
            check_file(path)
        except DamagedError:
            continue
        assert k % 2 == 0 or bytes(content) == new, "a file with a checksum was changed, and this was not seen"


HOSTILE = {
    "empty": b"",
    "text": b"hello world",
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "endless size": b"\x0a" + b"\xff" * 9 + b"\x01",
    "huge size": b"\x0a\xff\xff\xff\xff\x07abc",
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin",
    "zip": b"PK\x03\x04" + bytes(40),
    "checksum alone": b"crc_num" + bytes(10),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_checkpoint(content, tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x.ckpt is (empty|damaged|cut short)"):
        read_checkpoint(path)


def entry(tag=b"w", dims=(2,), kind=b"Float32", content=bytes(8)):
    def field(number, value):
        return bytes([number << 3 | 2, len(value)]) + value

    sizes = b"".join(b"\x08" + _varint(n) for n in dims)
    return field(1, field(1, tag) + field(2, sizes + field(2, kind) + field(3, content)))


def _varint(value):
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(found + bytes([value]))


WRONG_ENTRIES = {
    "too few bytes": (entry(dims=(3,)), r"'w' of shape \(3,\) and type Float32 needs 12 bytes, but has 8"),
    "too many bytes": (entry(dims=(1,)), r"'w' of shape \(1,\) and type Float32 needs 4 bytes, but has 8"),
    "terabytes": (entry(dims=(2 ** 40,)), r"needs 4398046511104 bytes, but has 8"),
    "overflow to zero": (entry(dims=(2 ** 32, 2 ** 32)), r"needs 73786976294838206464 bytes, but has 8"),
    "negative": (entry(dims=(2 ** 64 - 1,)), "the shape of 'w' is impossible"),
    "100 axes": (entry(dims=(1,) * 20, content=bytes(4)), "the shape of 'w' is impossible"),
    "unknown type": (entry(kind=b"Float31"), "'w' has the type 'Float31', but known are Bool, Int8"),
    "no text": (entry(tag=b"\xff\xfe"), "the name of an entry is no text"),
    "twice": (entry() + entry(tag=b"v") + entry(), "it has the entry 'w' twice"),
    "parts of two shapes": (entry(dims=(4,)) + entry(dims=(2, 2)), "the parts of 'w' differ in shape or type"),
    "no tensor": (b"\x0a\x03\x0a\x01w", "an entry has no name or no tensor"),
    "map": (b"\x0a\x05\x0a\x01w\x1a\x00", "an entry is no tensor with a name"),
}


@pytest.mark.parametrize(("content", "message"), WRONG_ENTRIES.values(), ids=WRONG_ENTRIES)
def test_entries_that_are_wrong(content, message, tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_entries_that_are_right(tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(entry(tag=b"a") + entry(tag=b"b", dims=(4,)) * 2 + entry(tag=b"c", dims=(0,), content=bytes(4)))
    found = read_checkpoint(path)
    assert {name: value.shape for name, value in found.items()} == {"a": (2,), "b": (4,), "c": ()}


def test_every_type_that_mindspore_writes(tmp_path):
    kinds = (ms.bool_, ms.int8, ms.uint8, ms.int16, ms.uint16, ms.int32, ms.uint32, ms.int64, ms.uint64, ms.float16,
             ms.float32, ms.float64, ms.bfloat16)
    entries = [{"name": str(kind), "data": ms.Tensor(np.ones((2, 3)), kind)} for kind in kinds]
    for check in (False, True):
        ms.save_checkpoint(entries + [{"name": "one", "data": ms.Tensor(3.0)}], str(tmp_path / "all.ckpt"),
                           append_dict={"epoch": 7, "note": "text"}, crc_check=check)
        assert len(read_checkpoint(tmp_path / "all.ckpt")) == len(kinds) + 3


@pytest.mark.parametrize("check", [False, True], ids=["no checksum", "checksum"])
def test_a_masked_checkpoint(check, tmp_path):
    """Each bit of its names, sizes and types; and of its contents where it was saved with crc_check=True."""
    net, path = masked_small(), tmp_path / "masked.ckpt"
    ms.save_checkpoint(net, str(path), crc_check=check)
    content, expected = path.read_bytes(), numbers(ChannelPruner(input_shape=SHAPE).convert(net))
    path.chmod(0o600)
    places = range(len(content)) if check else [k for k in range(len(content)) if not _in_content(content, k)]
    for byte in places[::1 if not check else 3]:
        changed = bytearray(content)
        changed[byte] ^= 1 << byte % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError):
            ChannelPruner(input_shape=SHAPE).convert(net, path)
    path.write_bytes(content)
    assert same_numbers(numbers(ChannelPruner(input_shape=SHAPE).convert(net, path)), expected)


@cache
def plan_of_keep():
    """The plan of a network in which channels are put back into a residual stream."""
    return ChannelPruner(input_shape=(1, 3, 8, 8)).plan(masked(randomise(networks.Long()), residual="keep"))


def test_every_digit_of_a_plan():
    """With its checksum a changed plan is an error. Numbers, names and lists are all covered."""
    text = plan_of_keep().to_json()
    places = [match.start() for match in re.finditer(r"\d", text)]
    assert len(places) > 300
    for place in places:
        changed = f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1:]}"
        with pytest.raises(PlanError):
            PrunePlan.from_json(changed)


def test_every_other_letter_of_a_plan():
    """What is read all the same is the same plan: a space less between two numbers changes nothing."""
    text = plan_of_keep().to_json()
    refused = 0
    for place in range(0, len(text), 3):
        for letter in ("", "x", "0", '"'):
            try:
                assert PrunePlan.from_json(text[:place] + letter + text[place + 1:]) == plan_of_keep()
            except PlanError:
                refused += 1
    assert refused > len(text)


def without_checksum(**changes):
    document = json.loads(plan_of_keep().to_json())
    del document["checksum"]
    for name, change in changes.items():
        document[name] = change(document[name])
    return json.dumps(document)


def test_a_plan_of_an_earlier_version():
    assert PrunePlan.from_json(without_checksum()) == plan_of_keep()


def test_channels_that_are_put_back_elsewhere():
    """One position of one Gather is another: the outputs would differ, and no shape would."""
    plan = plan_of_keep()
    first = plan.restores[0]
    other = min(set(range(first.size)) - set(first.indices))
    wrong = replace(first, indices=tuple(sorted((*first.indices[1:], other))))
    changed = replace(plan, restores=(wrong, *plan.restores[1:]))
    with pytest.raises(PlanError, match=f"channels back behind '{first.cell}' that the cell does not make"):
        slim(networks.Long(), changed)
    document = json.loads(changed.to_json())
    del document["checksum"]
    with pytest.raises(PlanError, match=f"puts . of .* channels back behind '{first.cell}', but no parameter keeps"):
        PrunePlan.from_json(json.dumps(document))


def test_vectors_of_a_norm_that_differ():
    plan = plan_of_keep()
    place = next(k for k, keep in enumerate(plan.keeps) if keep.parameter.endswith("gamma"))
    gamma = plan.keeps[place]
    other = min(set(range(gamma.size)) - set(gamma.indices))
    wrong = replace(gamma, indices=tuple(sorted((*gamma.indices[1:], other))))
    with pytest.raises(PlanError, match="the plan keeps different channels of .*beta and .*gamma"):
        slim(networks.Long(), replace(plan, keeps=(*plan.keeps[:place], wrong, *plan.keeps[place + 1:])))


CONTRADICTIONS = {
    "lists": ({"lists": lambda lists: [lists[0][::-1], *lists[1:]]}, "it must keep at least one channel, ascending"),
    "negative": ({"lists": lambda lists: [[-1], *lists[1:]]}, "its 'lists' are not as they should be"),
    "empty": ({"lists": lambda lists: [[], *lists[1:]]}, "it must keep at least one channel"),
    "twice": ({"keeps": lambda keeps: [keeps[0], *keeps]}, "slices axis 0 of .* twice"),
    "no list": ({"keeps": lambda keeps: [{**keeps[0], "indices": 999}, *keeps[1:]]}, "it does not have"),
    "text": ({"keeps": lambda keeps: "abc"}, "its 'keeps' are not"),
    "axis": ({"keeps": lambda keeps: [{**keeps[0], "axis": True}]}, "its 'keeps' are not"),
    "terabytes": ({"inputs": lambda inputs: [[[10 ** 6, 10 ** 6], "Float32"]]}, "its 'inputs' are not"),
}


@pytest.mark.parametrize(("changes", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_plan_that_contradicts_itself(changes, message):
    with pytest.raises(PlanError, match=message):
        PrunePlan.from_json(without_checksum(**changes))


NO_PLANS = {"deep": "[" * 200000, "nan": '{"format": NaN}', "number": "7",
            "long number": '{"format": ' + "1" * 5000 + "}",
            "other format": '{"format": 2}', "true": '{"format": true}', "list": "[1]", "nothing": "",
            "unknown": '{"format": 1, "code": "x"}'}


@pytest.mark.parametrize("text", NO_PLANS.values(), ids=NO_PLANS)
def test_what_is_no_plan(text):
    with pytest.raises(PlanError, match="this is not the JSON of a PrunePlan|the plan has format"):
        PrunePlan.from_json(text)


class Sized(nn.Cell):
    """It holds numbers, text and a function, of which a plan may set numbers only."""

    def __init__(self):
        super().__init__()
        self.conv, self.width, self.label, self.flag = nn.Conv2d(3, 4, 1), 4, "text", True

    def construct(self, x):
        return self.conv(x)


@pytest.mark.parametrize(("path", "attribute"), [("", "construct"), ("", "__class__"), ("", "label"), ("", "flag"),
                                                 ("", "nothing"), ("ghost", "width"), ("conv", "weight")])
def test_a_plan_sets_numbers_only(path, attribute):
    """A plan from a stranger cannot put a number in the place of code."""
    with pytest.raises(PlanError, match=f"the plan sets '{attribute}' of '{path}', which"):
        slim(Sized(), PrunePlan(attributes=((path, attribute, 3),)))
    assert slim(Sized(), PrunePlan(attributes=(("", "width", 3),))).width == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["0.weight", "1.gamma", "1.moving_mean", "1.moving_variance"])
def test_a_file_with_numbers_that_are_none(name, value, tmp_path):
    small = ChannelPruner(input_shape=SHAPE).convert(masked_small())
    parameter = {p.name: p for p in small.get_parameters()}[name]
    entries = [{"name": p.name, "data": p} for p in small.get_parameters() if p is not parameter]
    text = np.frombuffer(small.prune_plan.to_json().encode(), np.uint8).astype(np.int32)
    entries += [{"name": name, "data": ms.Tensor(np.full(parameter.shape, value, np.float32))},
                {"name": "mindspore_gs.plan", "data": ms.Tensor(text)}]
    ms.save_checkpoint(entries, str(tmp_path / "x.ckpt"))
    with pytest.raises(CheckpointError, match=f"x.ckpt: '{name}' has . of . values that are (NaN|infinite)"):
        load_pruned(small_network, tmp_path / "x.ckpt")
