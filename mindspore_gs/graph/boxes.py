"""Boxes that a network is given: each begins with the index of its image, so random numbers do not do."""

from mindspore_gs.graph.ir import Graph

_READ_BOXES = {"ROIAlign": 1}  # operator: which of its inputs they are


def takes_boxes(graph: Graph) -> bool:
    """Whether an operator reads boxes that no layer of the network computes.

    MindSpore's kernels read memory of others, and may crash, where such an index is out of range.
    """
    makers = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if node.op not in _READ_BOXES:
            continue
        seen, left = set(), [node.inputs[_READ_BOXES[node.op]]]
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += makers[name].inputs if name in makers else ()
        if seen & set(graph.inputs) and not seen & set(graph.parameters):
            return True
    return False
