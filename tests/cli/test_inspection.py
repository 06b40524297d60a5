"""What half of a group saves, against networks that really lost it, and against numbers counted by hand."""

import json

import numpy as np
import pytest

from mindspore_gs.cost import moving_statistics
from mindspore_gs.graph import trace
from mindspore_gs.pruner.residual import prunable_groups
from mindspore_gs.report import compare
from mindspore_gs.runs.inspection import inspect_graph
from mindspore_gs.slim import PrunePlan, slim
from tests import networks

SHAPE = (1, 3, 8, 8)


def depthwise_x2():
    return networks.Depthwise(2)


SLIMMED = [networks.Chain, networks.Projection, networks.OptionA, depthwise_x2, networks.Grouped, networks.Flattened,
           networks.Gate, networks.Twice, networks.SharedWeight, networks.Shuffle, networks.Options]


@pytest.mark.parametrize("residual", ["couple", "keep"])
@pytest.mark.parametrize("build", SLIMMED, ids=lambda build: build.__name__)
def test_savings_are_those_of_the_slim_network(build, residual):
    net = build()
    graph = trace(net, SHAPE)
    rows = inspect_graph(graph, "", residual).groups
    for group, row in zip(prunable_groups(graph, residual), rows, strict=True):
        assert (row.half is None) == (group.blocked_by is not None) == (row.blocked is not None)
        if row.half is None:
            continue
        stays = np.arange(group.size) >= group.size // 2
        small = slim(net, PrunePlan.from_groups(graph, {group: stays}), check=False)
        report = compare(graph, trace(small, SHAPE))
        assert row.half.channels == group.size // 2
        assert row.half.params == report.params_before - report.params_after > 0
        assert row.half.macs == report.macs_before - report.macs_after > 0
        assert row.half.params_share == pytest.approx(1 - report.params_ratio)
        assert row.half.macs_share == pytest.approx(1 - report.macs_ratio)


@pytest.mark.parametrize("build", [networks.OptionA, networks.Twice, networks.HalfOfChannels, networks.SharedWeight])
def test_prunable_entries_are_counted_once(build):
    graph = trace(build(), SHAPE)
    entries = {name: np.zeros(shape, bool) for name, shape in graph.graph.parameters.items()
               if name not in moving_statistics(graph.graph)}
    for group in graph.groups():
        for part in group.slices:
            if group.blocked_by is None and part.parameter in entries:
                entries[part.parameter].swapaxes(0, part.axis)[part.indices.reshape(-1)] = True
    result = inspect_graph(graph, "")
    assert result.prunable_params == sum(int(e.sum()) for e in entries.values())
    assert result.params == sum(e.size for e in entries.values())


def test_json_of_a_chain_counted_by_hand():
    document = json.loads(inspect_graph(trace(networks.Chain(), SHAPE), "Chain").to_json())
    params, macs = 162 + 12 + 432 + 16 + 288 + 4, 64 * (162 + 432 + 288)
    groups = document.pop("groups")
    assert document == {"network": "Chain", "inputs": [[1, 3, 8, 8]], "residual": "couple", "params": params,
                        "macs": macs, "prunable_params": params - 4, "prunable_share": (params - 4) / params,
                        "free_groups": 2, "blocked_groups": 1}
    first, second = 3 * 27 + 6 + 8 * 3 * 9, 4 * 54 + 8 + 4 * 4 * 9
    assert groups[:2] == [
        {"members": ["conv1"], "weights": ["conv1.weight"], "channels": 6, "blocked": None,
         "half": {"channels": 3, "params": first, "macs": 64 * (first - 6), "params_share": first / params,
                  "macs_share": 64 * (first - 6) / macs}},
        {"members": ["conv2"], "weights": ["conv2.weight"], "channels": 8, "blocked": None,
         "half": {"channels": 4, "params": second, "macs": 64 * (second - 8), "params_share": second / params,
                  "macs_share": 64 * (second - 8) / macs}}]
    assert groups[2] == {
        "members": ["conv3"], "weights": ["conv3.weight"], "channels": 4, "half": None,
        "blocked": {"reason": "REACHES_OUTPUT", "sentence": "the channel is an output of the network",
                    "operator": "BiasAdd", "place": "Default/conv3-Conv2d"}}


def test_a_group_of_one_channel_can_lose_none():
    result = inspect_graph(trace(networks.OneChannel(), (1, 1, 8, 8)), "")
    half = next(row.half for row in result.free if row.members == ("b",))
    assert (half.channels, half.params, half.macs, half.params_share) == (0, 0, 0, 0.0)


def test_layers_say_which_group_each_channel_belongs_to():
    result = inspect_graph(trace(networks.OptionA(), SHAPE), "")
    tied = next(k for k, row in enumerate(result.groups) if row.members == ("stem", "b"))
    padded = next(k for k, row in enumerate(result.groups) if row.members == ("b",))
    layers = {layer.cell: layer for layer in result.layers}
    assert list(layers) == ["stem", "a", "b", "fc"]
    assert layers["stem"].runs == ((tied, 0, 4),)
    assert layers["b"].runs == ((padded, 0, 2), (tied, 2, 4), (padded, 6, 2))
