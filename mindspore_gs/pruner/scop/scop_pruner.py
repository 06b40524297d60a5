"""SCOP: prune the channels that do not win against their knockoffs.

Source: Tang et al., SCOP: Scientific Control for Reliable Neural Network Pruning, NeurIPS 2020. The interface is
that of MindSpore Golden Stick.
"""

import logging
from collections.abc import Mapping
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._cells import (
    copy_network,
    keeping_names,
    parameters_by_name,
    remember_names,
    replace_cell,
    restore_names,
)
from mindspore_gs._finite import check_finite
from mindspore_gs.comp_algo import CompAlgo, check_cell
from mindspore_gs.errors import PlanError, PruningError
from mindspore_gs.graph import ChannelGraph, Group, Role, trace
from mindspore_gs.masks import MaskedConv2dbn, Masks, masked_groups
from mindspore_gs.masks.trial import check_trainable, comparing, try_choice, try_out
from mindspore_gs.pruner.channel import NOT_PRUNED, ChannelPruner, free_groups
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.scop.callback import KfCallback
from mindspore_gs.pruner.scop.cells import KfConv2d, as_mask
from mindspore_gs.pruner.scop.config import FinetuneConfig, KnockoffConfig
from mindspore_gs.pruner.scop.phase import end_phase, in_phase, phase_of, scales, start_phase
from mindspore_gs.record import Record, drop_record, has_record, record_of, refuse_begun, refuse_forms, set_record

__all__ = ["KfCallback", "KfConv2d", "MaskedConv2dbn", "PrunerFtCompressAlgo", "PrunerKfCompressAlgo"]

_log = logging.getLogger("mindspore_gs")


class PrunerKfCompressAlgo(CompAlgo):
    """First half of SCOP: let each channel compete with its knockoff.

    Args:
        config: options as a dict, or None:

            - ``residual`` (str): ``"keep"`` (default, the paper's rule): a residual stream keeps its width, the
              first convolution and projections on shortcuts stay whole, and every other convolution is pruned by
              itself. ``"couple"``: all layers that add into a stream lose the same channels. ``"inner"``: only channels
              that no stream carries go.
            - ``ignore`` (list of str): patterns of cell names that stay whole, such as ``["layer4.*"]``.
            - ``input_shape`` (tuple of int, or a list of them): what the network is traced with. Default: guessed.
            - ``knockoff`` (Cell): makes the knockoffs from the inputs, same shapes. Default: other samples of the
              batch, chosen at random at each step, one for eight real samples.
            - ``batch_axis`` (int): the axis of the inputs along which the samples lie. Default: 0. Where they lie in
              the outputs is found out.
            - ``save_mindir``, ``save_mindir_path``: see :class:`~mindspore_gs.CompAlgo`.
        options: the same as keywords.

    Raises:
        TypeError, ValueError: an option is unknown, of the wrong type or out of range.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs import PrunerKfCompressAlgo, PrunerFtCompressAlgo
        >>> net = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        ...                         nn.Conv2d(8, 2, 1))
        >>> net = PrunerKfCompressAlgo({'input_shape': (1, 3, 8, 8)}).apply(net)
        >>> [p.name for p in net.trainable_params()]
        ['1.kfscale']
        >>> masked = PrunerFtCompressAlgo({'prune_rate': 0.5}).apply(net)
        >>> PrunerFtCompressAlgo().convert(masked)[1].weight.shape
        (4, 4, 3, 3)
    """

    _config_type = KnockoffConfig

    def apply(self, network: nn.Cell, **kwargs: Any) -> nn.Cell:
        """Turn ``network`` into its knockoff network, in place.

        In training mode it appends knockoffs to the batch and returns the outputs of the real samples, so loss,
        labels, metrics and data stay as they are. Only the scales are trainable.

        Args:
            network: the network, with its trained weights.
            kwargs: accepted for compatibility, unused.

        Returns:
            The same object.

        Raises:
            TypeError: ``network`` is not a Cell.
            TraceError: it cannot be traced; pass ``input_shape``.
            PruningError: it has been applied already, or has no channel that may be pruned, or samples cannot be told
                from knockoffs in it. The message says where, and what to do.
        """
        check_cell(self, network)
        if has_record(network):
            raise PruningError(f"an algorithm of this package has been applied to this {type(network).__name__} "
                               "already; go on with it, or build a new network.")
        refuse_begun(type(self).__name__, network)
        refuse_forms(type(self).__name__, network, NOT_PRUNED)
        check_finite(network, f"{type(self).__name__}.apply()")
        config = self._config
        graph = trace(network, *(config.input_shape or ()))
        groups = free_groups(self, graph, config.residual, config.ignore)
        try_out(network, graph, groups)
        check_trainable(network, graph, groups)
        remember_names(network)
        start_phase(network, competitors(graph, groups), config.knockoff, _examples(graph, config.input_shape),
                    config.batch_axis)
        set_record(network, Record(graph, config.residual, groups))
        return network

    def callbacks(self, *args: Any, **kwargs: Any) -> list[Callback]:
        """Callbacks that watch the phase; leaving them out changes nothing."""
        return [KfCallback(), *super().callbacks()]


class PrunerFtCompressAlgo(ChannelPruner):
    """Second half of SCOP: mask the channels that lose, fine-tune, and make the network small.

    It is :class:`~mindspore_gs.ChannelPruner` on a network that has been through the knockoff phase, whose scales its
    criteria read.

    Args:
        config: options as a dict, or None: those of :class:`~mindspore_gs.ChannelPruner`, with two defaults
            of its own:

            - ``criterion``: ``"scop"`` (default: knockoff score, filter norm as prior), ``"knockoff"`` (the
              paper's score alone), ``"knockoff*redundancy"`` (needs ``data``), or any criterion of
              ``ChannelPruner``, which needs no training of the knockoff network.
            - ``residual`` (str): must be what the knockoff network was made with. Default: that.
        options: the same as keywords.

    Raises:
        TypeError, ValueError: an option is unknown, of the wrong type or out of range, or ``prune_rate`` and
            ``target`` are both given.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs import PrunerKfCompressAlgo, PrunerFtCompressAlgo
        >>> net = nn.SequentialCell(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
        ...                         nn.Conv2d(32, 2, 1))
        >>> net = PrunerKfCompressAlgo({'input_shape': (1, 3, 8, 8)}).apply(net)
        >>> net = PrunerFtCompressAlgo({'target': {'macs': 0.5}, 'criterion': 'l1'}).apply(net)
        >>> small = PrunerFtCompressAlgo().convert(net)
        >>> 64 * (3 * 4 + 4 * 32 * 9 + 32 * 2), 64 * (3 * 4 + 4 * 16 * 9 + 16 * 2), small[1].weight.shape
        (78592, 39680, (16, 4, 3, 3))
    """

    _config_type = FinetuneConfig

    def apply(self, network: nn.Cell, **kwargs: Any) -> nn.Cell:
        r"""Turn a knockoff network into the masked network, in place.

        Within each layer the channels with the lowest score are masked; where layers lose the same channels, with the
        lowest mean of their scores. Everything that was trainable before the knockoff phase is trainable again.

        Args:
            network: what :meth:`PrunerKfCompressAlgo.apply` returned.
            kwargs: accepted for compatibility, unused.

        Returns:
            The same object.

        Raises:
            TypeError: ``network`` is not a Cell.
            PruningError: it is no knockoff network, or the target cannot be met; the message says what can be.
            ValueError: ``residual``, ``rates`` or ``ignore`` do not fit it.
        """
        check_cell(self, network)
        record = self._record(network)
        check_finite(network, f"{type(self).__name__}.apply()")
        found = scales(network)
        self._warn_if_untrained(found)
        evidence = {"kfscale": _by_weight(record.graph, found)}
        choice = self._choose(network, record.graph, record.groups, evidence)
        if comparing(network):
            plain = self._dense(network)
            restore_names(plain)
            try_choice(plain, record.graph, choice)
        repaired = self._repaired(network, choice)
        network = self._mask(network, choice)
        for name, parameter in parameters_by_name(network).items():
            if name in repaired:
                parameter.set_data(repaired[name])
        return network

    def _repaired(self, network: nn.Cell, choice: dict[Group, np.ndarray]) -> dict[str, ms.Tensor]:
        """What a compensation makes of the weights, if one is asked for. Found on a copy: where the data do not fit,
        the knockoff network stays as it is."""
        if not self._config.compensate:
            return {}
        twin = self._mask(copy_network(network), choice)
        before = {name: p.float().asnumpy().copy() for name, p in parameters_by_name(twin).items()}
        self._compensate(twin)
        return {name: ms.Tensor(p.float().asnumpy()).astype(p.dtype) for name, p in parameters_by_name(twin).items()
                if not np.array_equal(p.float().asnumpy(), before[name])}

    def _warn_if_untrained(self, found: Mapping[str, np.ndarray]) -> None:
        """Scales that were never trained say nothing. Without a rate nothing is chosen by them, as in an evaluation."""
        config = self._config
        asked = config.prune_rate or config.target is not None or any(config.rates.values())
        reads = getattr(CRITERIA.get(config.criterion) if isinstance(config.criterion, str) else None, "phase", False)
        unmoved = [path for path, scale in found.items() if (scale == 0.5).all()]
        if not asked or not reads or not unmoved:
            return
        if len(unmoved) == len(found):
            _log.warning("No knockoff scale has been trained: all of them are 0.5, as they began, and the criterion %r "
                         "reads them. Train the network that PrunerKfCompressAlgo.apply() returned first, or take "
                         "criterion='l1', which needs no knockoff phase.", config.criterion)
            return
        _log.warning("The knockoff scales of %s are all 0.5, as they began: no gradient has reached them, as in front "
                     "of stop_gradient(), so which of their channels go is left to chance. Add them to 'ignore', or "
                     "take criterion='l1'.", ", ".join(map(repr, unmoved)))

    def _record(self, network: nn.Cell) -> Record:
        record = record_of(network)
        if masked_groups(network):
            raise PruningError(f"{type(network).__name__} is masked already; train it, or make it small with "
                               "convert().")
        if self._config.residual not in (None, record.residual):
            raise ValueError(f"For '{type(self).__name__}', 'residual' is {self._config.residual!r}, but the knockoff "
                             f"network was made with {record.residual!r}; give PrunerKfCompressAlgo the same.")
        return record

    def _mask(self, network: nn.Cell, choice: dict[Group, np.ndarray]) -> nn.Cell:
        """End the phase, and put masks in the place of knockoffs."""
        record = record_of(network)
        network = end_phase(network)
        drop_record(network)
        restore_names(network)
        Masks.attach(network, record.graph, record.groups, record.residual).set(choice)
        return network

    def _dense(self, network: nn.Cell) -> nn.Cell:
        if not in_phase(network):
            return network
        plain = end_phase(copy_network(network))
        drop_record(plain)
        return plain

    def _recover_conv(self, net: nn.Cell) -> nn.Cell:
        """The model zoo's evaluation calls this after assigning ``KfConv2d.out_index``: masks as they are given."""
        record, layers = record_of(net), phase_of(net).layers
        given = {path: as_mask(layer.out_index, layer.out_channels) for path, layer in layers.items()}
        by_weight = _by_weight(record.graph, given)
        choice = {}
        for group in record.groups:
            votes = [by_weight[part.parameter][part.indices].all(axis=1) for part in group.slices
                     if part.role is Role.FILTER and part.parameter in by_weight]
            if not all((vote == votes[0]).all() for vote in votes):
                raise PlanError(f"the masks of {', '.join(group.members)} differ, but these layers share their "
                                "channels; give them the same 'out_index'.")
            if votes:
                choice[group] = votes[0]
        return self._mask(net, choice)

    def _pruning_conv(self, net: nn.Cell) -> nn.Cell:
        """The model zoo's evaluation calls this to count parameters: the masked network becomes slim in place."""
        small = self.convert(net)
        with keeping_names(small):
            for path, cell in small.name_cells().items():
                replace_cell(net, path, cell)
        drop_record(net)
        return net


def _examples(graph: ChannelGraph, given: tuple[Any, ...] | None) -> list[Any]:
    """Inputs as those that the network was traced with: the given ones, and zeros where only a shape is known."""
    if given is None or len(given) == len(graph.inputs):
        return [value if isinstance(value, ms.Tensor) else ms.ops.zeros(shape, getattr(ms, kind.lower()))
                for value, (shape, kind) in zip(given or graph.examples(), graph.inputs)]
    return list(given)


def competitors(graph: ChannelGraph, groups: tuple[Group, ...]) -> dict[str, str | None]:
    """The convolutions that get knockoffs: path, and the path of the BatchNorm right behind it, or None."""
    weights = {weight for group in groups for weight in group.weights}
    return {graph.convolutions[weight]: graph.pairs.get(weight, (None, None))[1]
            for weight in graph.convolutions if weight in weights}


def _by_weight(graph: ChannelGraph, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is known by the path of a convolution, by the name of its weight."""
    return {weight: values[path] for weight, path in graph.convolutions.items() if path in values}
