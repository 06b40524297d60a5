"""Traced graphs written by hand."""

from mindspore_gs.graph.ir import Graph, Node


def graph(*nodes, outputs=None):
    """A graph from "name = op input input" lines; names that start with w are weights."""
    made = []
    for line in nodes:
        name, op, *inputs = line.replace("=", " ").split()
        made.append(Node(name, op, tuple(inputs), {}, (1, 4, 8, 8)))
    read = {i for node in made for i in node.inputs} - {node.name for node in made}
    weights = {name: (4, 4, 3, 3) for name in sorted(read) if name.startswith("w")}
    return Graph(tuple(made), {}, weights, {"x": (1, 4, 8, 8)}, outputs or (made[-1].name,))
