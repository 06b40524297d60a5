"""Files that are changed at random, by hypothesis, which makes a failure small. fuzz.py does it for longer."""

import json
import random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tests.trust.fuzz import changed
from tests.trust.readers import READERS, read_config, read_mindir, read_plan, read_record, samples

FEW = settings(max_examples=60, deadline=5000, derandomize=True, database=None,
               suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3),
                                                       st.dictionaries(st.text(max_size=5), inner, max_size=3)),
                      max_leaves=6)


@pytest.mark.parametrize("kind", READERS)
@FEW
@given(seed=st.integers(0, 2 ** 32))
def test_changed_bytes(kind, seed):
    draw = random.Random(seed)
    READERS[kind](changed(draw.choice(samples(kind)), draw))


@pytest.mark.parametrize("kind", READERS)
@FEW
@given(content=st.binary(max_size=200))
def test_any_bytes(kind, content):
    READERS[kind](content)


def places(value, path=()):
    """The path of every value in a document."""
    found = [path]
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        found += places(inner, (*path, key))
    return found


def with_value(document, path, value):
    if not path:
        return value
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return document


@pytest.mark.parametrize(("kind", "read"), [("plan", read_plan), ("record", read_record)])
@settings(FEW, max_examples=300)
@given(data=st.data())
def test_any_value_anywhere(kind, read, data):
    """Behind the checksum: each value of the JSON may be anything."""
    document = json.loads(samples(kind)[-1])
    path = data.draw(st.sampled_from(places(document)))
    read(json.dumps(with_value(document, path, data.draw(VALUES))).encode())


YAML = {
    "bombs": b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
        b"%c: &%c [%s]\n" % (k, k, b",".join([b"*%c" % (k - 1)] * 9)) for k in range(98, 112)) + b"rates: *o\n",
    "deep": b"rates: " + b"[" * 5000,
    "a date that there is not": b"seed: 2020-99-99\n",
    "infinite": b"epochs: .inf\n",
    "no number": b"lr: .nan\n",
    "code": b"net: !!python/object/apply:os.system ['touch never']\n",
    "not text": b"\xff\xfe\x00",
    "list": b"- 1\n",
    "key": b"? [1, 2]\n: 3\n",
    "list for text": b"net: [resnet20]\n",
    "huge": b"batch_size: 1e400\n",
    "for optional": b"prune_rate: {a: 1}\n",
}


@pytest.mark.parametrize("content", YAML.values(), ids=YAML)
def test_yaml_that_is_wrong(content):
    assert not read_config(content)


@pytest.mark.parametrize("step", [1, pytest.param(0, marks=pytest.mark.slow)], ids=["one bit of each byte", "all"])
def test_every_bit_and_prefix_of_a_mindir(step):
    """Ours has a checksum; of MindSpore's own a prefix is seen, unless only a version at the end is cut off."""
    own, raw = samples("mindir")
    assert read_mindir(own) and read_mindir(raw)
    for place in range(0, len(own), 1 if not step else 3):
        for bit in range(8) if not step else (place % 8,):
            part = bytearray(own)
            part[place] ^= 1 << bit
            assert not _accepted(bytes(part), own), (place, bit)
    for size in range(0, len(own), 1 if not step else 7):
        accepted = read_mindir(own[:size])
        assert not accepted or size > len(own) - 120
    short = [size for size in range(0, len(raw), 1 if not step else 7) if read_mindir(raw[:size])]
    assert all(size > len(raw) - 8 for size in short), short


def _accepted(content, own):
    """A flip within the name of the checksum leaves a file without one: all else is as it was."""
    return read_mindir(content) and content[-120:] == own[-120:]
