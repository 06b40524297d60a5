"""SCOP: prune the channels that do not win against their knockoffs.

Source: Tang et al., SCOP: Scientific Control for Reliable Neural Network Pruning, NeurIPS 2020. The interface is
that of MindSpore Golden Stick.
"""

from typing import Any

import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._cells import copy_network, keeping_names, replace_cell
from mindspore_gs._config import with_option
from mindspore_gs.checkpoint import load_parameters
from mindspore_gs.comp_algo import CompAlgo
from mindspore_gs.errors import PlanError, PruningError
from mindspore_gs.graph import ChannelGraph, Group, trace
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.latency import LatencyMeter
from mindspore_gs.pruner.scop.callback import KfCallback
from mindspore_gs.pruner.scop.cells import KfConv2d, MaskedConv2dbn
from mindspore_gs.pruner.scop.config import FinetuneConfig, KnockoffConfig
from mindspore_gs.pruner.scop.network import (
    Record,
    dense_network,
    has_record,
    make_record,
    masked_cells,
    record_of,
    to_knockoff,
    to_masked,
    without_masks,
)
from mindspore_gs.pruner.select import aggregate, best, matches, number_kept, rate_for
from mindspore_gs.pruner.target import numbers_kept
from mindspore_gs.report import Report, compare
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.check import check_equal
from mindspore_gs.slim.cost import CostModel
from mindspore_gs.slim.slim import slice_network

__all__ = ["KfCallback", "KfConv2d", "MaskedConv2dbn", "PrunerFtCompressAlgo", "PrunerKfCompressAlgo"]


class PrunerKfCompressAlgo(CompAlgo):
    """First half of SCOP: let each channel compete with its knockoff.

    Args:
        config: options as a dict, or None:

            - ``residual`` (str): ``"keep"`` (default, the paper's rule): a residual stream keeps its width, the
              first convolution and projections on shortcuts stay whole, and every other convolution is pruned by
              itself. ``"couple"``: all writers of a stream lose the same channels.
            - ``ignore`` (list of str): patterns of cell names that stay whole, such as ``["layer4.*"]``.
            - ``input_shape`` (tuple of int, or a list of them): what the network is traced with. Default: guessed.
            - ``knockoff`` (Cell): makes the knockoffs from the inputs, same shapes. Default: other samples of the
              batch, chosen at random at each step, one for eight real samples.
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
            PruningError: it has been applied already, or has no channel that may be pruned.
        """
        _check_cell(self, network)
        if has_record(network):
            raise PruningError("PrunerKfCompressAlgo has been applied to this network already; build a new one.")
        config = self._config
        graph = trace(network, *(config.input_shape or ()))
        groups = [g for g in graph.groups(config.residual) if _is_candidate(g, graph, config.ignore)]
        if not groups:
            raise PruningError(_nothing_to_prune(graph.groups(config.residual)))
        pairs = dict(graph.pairs[weight] for group in groups for weight in group.weights if weight in graph.pairs)
        record = make_record(network, graph, config.residual, config.ignore)
        return to_knockoff(network, record, pairs, config.knockoff)

    def callbacks(self, *args: Any, **kwargs: Any) -> list[Callback]:
        """Callbacks that watch the phase; leaving them out changes nothing."""
        return [KfCallback(), *super().callbacks()]


class PrunerFtCompressAlgo(CompAlgo):
    r"""Second half of SCOP: mask the channels that lose, fine-tune, and make the network small.

    Args:
        config: options as a dict, or None:

            - ``prune_rate`` (float): share of channels that each layer loses, in [0, 1). Default: 0.0. A layer of
              C channels loses ``int(prune_rate * C)``.
            - ``target`` (dict): instead of ``prune_rate``, the share that is left of the dense network, in (0, 1):
              ``{"macs": 0.5}``, ``{"params": 0.5}`` or ``{"latency": 0.5}``; see below. Default: None.
            - ``scope`` (str): how a target is met. ``"layer"`` (default): by one rate for all layers. ``"global"``:
              by ranking the channels of all layers together.
            - ``rates`` (dict): rate by pattern of cell name, such as ``{"layer1.*": 0.2}``; the first match wins.
              With a target, these layers have that rate and the others meet the target.
            - ``ignore`` (list of str): patterns of cell names that stay whole.
            - ``round_to`` (int): kept channels are rounded up to a multiple of it. Default: 1.
            - ``min_channels`` (int): smallest number of channels of a layer. Default: 1.
            - ``criterion``: ``"scop"`` (default: knockoff score, filter norm as prior), ``"knockoff"`` (the
              paper's score alone), ``"l1"``, ``"random"``, or a function
              ``(layer, generator) -> scores``. The last three need no training of the knockoff network.
            - ``seed`` (int): for ``"random"``. Default: 0.
            - ``residual`` (str): must be what the knockoff network was made with. Default: that.
            - ``save_mindir``, ``save_mindir_path``: see :class:`~mindspore_gs.CompAlgo`; what is exported is slim.
        options: the same as keywords.

    A target t is met when :math:`|cost(slim) / cost(dense) - t| \le 0.02`. The cost is the number of MACs for one
    sample or of parameters, as in :meth:`summary`, and needs no training.

    - ``scope="layer"``: the rate r in :math:`k_l = C_l - int(r C_l)`, the number of channels that layer l of
      :math:`C_l` channels keeps, whose cost is nearest to the target. Where that is farther away than 0.01, because
      many layers lose a channel at the same rate, they lose it one after the other, in order of execution; where one
      would lead away from the target, or past it by more than 0.01, its layer loses no more.
    - ``scope="global"``: channels go in the order of :math:`s_j / c_j` (:math:`s_j c_j` where the score
      :math:`s_j` is negative): the score over the mean magnitude of its layer's, and what one channel of the layer
      costs in the dense network. Expensive layers come down to ``min_channels``; give a floor such as 4, since
      layers of one channel cost much accuracy.
    - ``{"latency": t}``: slim candidates along the same order are exported to MindIR and timed in turns with the
      dense network, for the input that the network was traced with (median of 21 runs). At most 8 are measured;
      where none is within 0.02, the nearest is taken with a warning; where all are slower, that is an error. The
      time holds for this machine only, a busy machine gives uncertain times, and each process measures for itself.

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

    def set_prune_rate(self, prune_rate: float) -> None:
        """Set the share of channels that each layer loses.

        Raises:
            TypeError: ``prune_rate`` is not a float.
            ValueError: it is outside [0, 1), or there is a target.
        """
        self._config = with_option(self._config, type(self).__name__, "prune_rate", prune_rate)

    def apply(self, network: nn.Cell, **kwargs: Any) -> nn.Cell:
        r"""Turn a knockoff network into the masked network, in place.

        Within each layer the channels with the lowest score :math:`|\gamma_j| (b_j - (1 - b_j))` are masked; where
        layers lose the same channels, with the lowest mean of their scores. Everything that was trainable before
        the knockoff phase is trainable again.

        Args:
            network: what :meth:`PrunerKfCompressAlgo.apply` returned.
            kwargs: accepted for compatibility, unused.

        Returns:
            The same object.

        Raises:
            TypeError: ``network`` is not a Cell.
            PruningError: it is no knockoff network, or the target cannot be met; the message says what can be.
            ValueError: ``residual`` or ``rates`` do not fit it.
        """
        _check_cell(self, network)
        record = self._record(network)
        layers = {cell.path: cell for _, cell in network.cells_and_names() if isinstance(cell, KfConv2d)}
        if not layers:
            raise PruningError("there is no KfConv2d in the network; pass what PrunerKfCompressAlgo.apply returned.")
        stays = self._select(network, record, layers)
        for path, layer in layers.items():
            layer.out_index = stays[path]
        return to_masked(network)

    def convert(self, net_opt: nn.Cell, ckpt_path: str = "") -> nn.Cell:
        """Make the slim network: plain cells, no masks, and equal to the masked network.

        Args:
            net_opt: the masked network, which stays as it is; or, with ``ckpt_path``, a network like the original.
            ckpt_path: checkpoint of the masked network. Default: none.

        Returns:
            A new network. It has the original parameter names and can be trained on.

        Raises:
            TypeError: ``net_opt`` is not a Cell.
            CheckpointError: the checkpoint cannot be read or belongs to another network.
            ParityError: the slim network differs from the masked one.
        """
        _check_cell(self, net_opt)
        masked = self._load(net_opt, ckpt_path) if ckpt_path else net_opt
        plan = self.plan(masked)
        small = slice_network(without_masks(masked), plan)
        check_equal(masked, small, plan.inputs)
        return small

    def plan(self, network: nn.Cell) -> PrunePlan:
        """What a masked network keeps, as a plan that can be stored and carried out elsewhere.

        Raises:
            PruningError: ``network`` has no masks.
            PlanError: layers that share their channels have different masks.
        """
        record = record_of(network)
        masks = {cell.path: cell.stays for cell in masked_cells(network).values()}
        if not masks:
            raise PruningError("the network has no masks yet; call PrunerFtCompressAlgo(...).apply(network) first.")
        graph = record.graph
        keep = {}
        for group in graph.groups(record.residual):
            votes = [masks[graph.pairs[w][0]][group.slice_of(w, graph.outputs[w]).indices].all(axis=1)
                     for w in group.weights if w in graph.pairs and graph.pairs[w][0] in masks]
            if votes and not all((vote == votes[0]).all() for vote in votes):
                raise PlanError(f"the masks of {', '.join(group.members)} differ, but these layers share their "
                                "channels; the checkpoint was made with another 'residual' policy.")
            if votes and not votes[0].all():
                keep[group] = votes[0]
        return PrunePlan.from_groups(graph, keep)

    def summary(self, network: nn.Cell) -> Report:
        """Print what each layer keeps, with parameters and MACs before and after.

        Args:
            network: a masked network.

        Returns:
            The report, also printed as a table.
        """
        _check_cell(self, network)
        graph = record_of(network).graph
        small = slice_network(without_masks(network), self.plan(network))
        report = compare(graph, trace(small, *(shape for shape, _ in graph.inputs)))
        report.print()
        return report

    def _record(self, network: nn.Cell) -> Record:
        record = record_of(network)
        if self._config.residual not in (None, record.residual):
            raise ValueError(f"For '{type(self).__name__}', 'residual' is {self._config.residual!r}, but the knockoff "
                             f"network was made with {record.residual!r}; give PrunerKfCompressAlgo the same.")
        return record

    def _select(self, network: nn.Cell, record: Record, layers: dict[str, KfConv2d]) -> dict[str, np.ndarray]:
        """Truth value per channel of each layer: whether it stays."""
        config, graph = self._config, record.graph
        generator = np.random.default_rng(config.seed)
        criterion = config.criterion if callable(config.criterion) else CRITERIA[config.criterion]
        scores = {path: _scores(criterion, layer, generator) for path, layer in layers.items()}
        ignore = (*record.ignore, *config.ignore)
        groups = [g for g in graph.groups(record.residual) if _is_candidate(g, graph, ignore)]
        places = [{graph.pairs[w][0]: group.slice_of(w, graph.outputs[w]).indices
                   for w in group.weights if w in graph.pairs} for group in groups]
        ranks = [aggregate([scores[path][index].mean(axis=1) for path, index in place.items()]) for place in places]
        stays = {path: np.ones(layer.out_channels, dtype=bool) for path, layer in layers.items()}
        for place, rank, count in zip(places, ranks, self._numbers_kept(network, groups, ranks)):
            keep = best(rank, count)
            for path, index in place.items():
                stays[path][index[~keep].reshape(-1)] = False
        return stays

    def _numbers_kept(self, network: nn.Cell, groups: list[Group], ranks: list[np.ndarray]) -> list[int]:
        """How many channels each group keeps: by its rate, or so that the target is met."""
        config, graph = self._config, record_of(network).graph
        rounding = config.round_to, config.min_channels
        if config.target is None:
            rates = [rate_for(group.members, config.prune_rate, config.rates) for group in groups]
            return [number_kept(group.size, rate, *rounding) for group, rate in zip(groups, rates)]
        own = [rate_for(group.members, None, config.rates) for group in groups]
        fixed = [None if rate is None else number_kept(group.size, rate, *rounding) for group, rate in zip(groups, own)]
        measure = LatencyMeter(lambda: dense_network(network), graph, groups, ranks)
        return numbers_kept(config.target, config.scope, CostModel(graph, groups), ranks, fixed, *rounding, measure)

    def _load(self, net: nn.Cell, ckpt_path: str) -> nn.Cell:
        """A masked copy of ``net`` with the values of a checkpoint."""
        masked = copy_network(net)
        if not has_record(masked):
            masked = PrunerKfCompressAlgo(residual=self._config.residual or "keep").apply(masked)
        if not masked_cells(masked):
            masked = PrunerFtCompressAlgo().apply(masked)
        load_parameters(masked, ckpt_path)
        return masked

    def _recover_conv(self, net: nn.Cell) -> nn.Cell:
        """The model zoo's evaluation calls this after assigning ``KfConv2d.out_index``: masks as they are given."""
        return to_masked(net)

    def _pruning_conv(self, net: nn.Cell) -> nn.Cell:
        """The model zoo's evaluation calls this to count parameters: the masked network becomes slim in place."""
        small = self.convert(net)
        with keeping_names(small):
            for path, cell in small.name_cells().items():
                replace_cell(net, path, cell)
        return net


def _check_cell(algorithm: CompAlgo, network: Any) -> None:
    if not isinstance(network, nn.Cell):
        raise TypeError(f"For '{type(algorithm).__name__}', the 'network' must be 'Cell', but got "
                        f"'{type(network).__name__}'.")


def _is_candidate(group: Group, graph: ChannelGraph, ignore: tuple[str, ...]) -> bool:
    """Whether SCOP may prune a group: nothing forbids it, a member has scales, and every member can carry a mask."""
    inside = {path for weight in group.weights if weight in graph.pairs for path in graph.pairs[weight]}
    others = {part.parameter for path, part in graph.silencers(group) if path not in inside}
    return group.blocked_by is None and bool(inside) and others <= graph.maskable and not matches(ignore, group.members)


def _nothing_to_prune(groups: tuple[Group, ...]) -> str:
    reasons = [f"{group.name}: {group.blocked_by}" for group in groups if group.blocked_by is not None]
    return ("no Conv2d with a BatchNorm right behind it has channels that may be removed"
            + (" (" + "; ".join(reasons[:3]) + ")." if reasons else "."))


def _scores(criterion: Any, layer: KfConv2d, generator: np.random.Generator) -> np.ndarray:
    scores = np.asarray(criterion(layer, generator), dtype=np.float64)
    if scores.shape != (layer.out_channels,):
        raise ValueError(f"the criterion must give one number for each of the {layer.out_channels} channels of "
                         f"{layer.path!r}, but gave shape {scores.shape}.")
    if not np.isfinite(scores).all():
        raise PruningError(f"the scores of {layer.path!r} are not finite; the knockoff phase has diverged, "
                           "lower its learning rate.")
    return scores
