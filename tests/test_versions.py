"""What differs between versions of MindSpore, with stand-ins for what another version has."""

from types import SimpleNamespace

import pytest
from mindspore.train import mind_ir_pb2

from mindspore_gs._versions import read_note, write_note


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
