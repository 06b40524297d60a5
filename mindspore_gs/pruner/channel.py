"""One pruner for every criterion: score the channels, mask those with the lowest scores, make the network small."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._cells import copy_network, remember_names
from mindspore_gs._config import with_option
from mindspore_gs._finite import check_finite
from mindspore_gs._ranks import take_from_first_rank
from mindspore_gs.checkpoint import fits_masks, load_parameters, read_checkpoint
from mindspore_gs.comp_algo import CompAlgo, check_cell
from mindspore_gs.cost import CostModel
from mindspore_gs.engines import engine
from mindspore_gs.errors import CheckpointError, PlanError, PruningError, TargetError
from mindspore_gs.graph import RESIDUAL_POLICIES, ChannelGraph, Group, trace
from mindspore_gs.masks import Masks, masked_groups
from mindspore_gs.masks.masks import strip
from mindspore_gs.masks.trial import check_trainable, try_choice, try_out
from mindspore_gs.pruner.channels import Channels, Evidence, channels_of, score
from mindspore_gs.pruner.compensation import Compensation, compensate
from mindspore_gs.pruner.config import ChannelConfig
from mindspore_gs.pruner.criteria import CRITERIA, evidence_needed, is_greedy
from mindspore_gs.pruner.defaults import roundings
from mindspore_gs.pruner.evidence import observe
from mindspore_gs.pruner.greedy import one_after_another
from mindspore_gs.pruner.kinds import kinds_of
from mindspore_gs.pruner.latency import LatencyMeter
from mindspore_gs.pruner.optimizers import OptimizerCheck
from mindspore_gs.pruner.patterns import check_patterns, group_names, matched, rate_for
from mindspore_gs.pruner.reconstruction import error_curves
from mindspore_gs.pruner.residual import prunable_groups
from mindspore_gs.pruner.select import Ranking, best, check_something_goes, number_kept
from mindspore_gs.pruner.widths import Target, numbers_kept
from mindspore_gs.record import has_record, record_of, refuse_begun, refuse_forms
from mindspore_gs.report import Report, compare
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.carried import carried_plan
from mindspore_gs.slim.check import check_equal, inputs_for
from mindspore_gs.slim.slimming import slice_network

_log = logging.getLogger("mindspore_gs")

NOT_PRUNED = {"searched": "call convert() of SlbQuantAwareTraining first, or prune before SLB.",
              "rounded": "prune the float network first, and apply SLB to the small one."}


class ChannelPruner(CompAlgo):
    r"""Prune the channels of any network by any criterion.

    Every group of channels that the network's graph calls free can be pruned, whatever makes the channels: convolutions
    with and without BatchNorm, dense layers, transposed convolutions. ``mindspore-gs inspect`` shows the groups.

    Args:
        config: options as a dict, or None:

            - ``criterion``: which channels matter. By weights: ``"l1"`` (default), ``"l2"``, ``"l1_greedy"``,
              ``"l2_greedy"``, ``"bn_gamma"``, ``"fpgm"``, ``"random"``. By ``data``: ``"apoz"``, ``"hrank"``,
              ``"chip"``, ``"redundancy"``, ``"thinet"``, ``"lasso"``. By ``data`` with labels: ``"taylor"``,
              ``"fisher"``. Or any other name in ``mindspore_gs.pruner.criteria.CRITERIA``, or a function that takes
              :class:`~mindspore_gs.pruner.channels.Channels` and returns one number for each channel. The channels with
              the lowest numbers go. docs/criteria.md has a table of all.
            - ``prune_rate`` (float): share of channels that each layer loses, in [0, 1). Default: 0.0. A layer of
              C channels loses ``int(prune_rate * C)``.
            - ``target`` (dict): instead of ``prune_rate``, the share that is left of the dense network, in (0, 1):
              ``{"macs": 0.5}``, ``{"params": 0.5}`` or ``{"latency": 0.5}``; see below. Default: None.
            - ``scope`` (str): how a target is met. ``"layer"`` (default): by one rate for all layers. ``"global"``:
              by ranking the channels of all layers together. ``"isomorphic"``: by ranking those of layers of one kind
              together. ``"error"`` (needs ``data``): by the widths of least error.
            - ``rates`` (dict): rate by layer, such as ``{"layer1": 0.2}``; the first match wins. With a target, these
              layers have that rate and the others meet the target.
            - ``ignore`` (list of str): layers that stay whole. In ``rates`` and ``ignore`` a layer is given by a
              cell's path, which means everything below it, by a pattern such as ``"*.conv1"``, or by a parameter's
              name. What matches nothing is an error.
            - ``round_to`` (int): kept channels are rounded up to a multiple of it. Default: 8 with a
              target, which engines compute fastest, or 4, 2, 1 in narrow networks and where that does not meet the
              target; 1 with a rate.
            - ``min_channels`` (int): smallest number of channels of a layer. Default: 1.
            - ``residual`` (str): what happens to residual streams. ``"couple"`` (default): all layers that add into a
              stream lose the same channels. ``"keep"``: a stream keeps its width, each layer that adds into it loses
              channels by itself, and one Gather puts its output back in place; the first convolution and
              projections on shortcuts stay whole. ``"inner"``: only channels that no stream carries go.
            - ``norms`` (str): what happens to channels that a layer normalisation computes over, as those of a
              transformer's residual stream. ``"keep"`` (default): they stay. ``"recompute"``: they may go, and it
              computes its mean and variance over those that are left, see below.
            - ``input_shape``: what the network is traced with: a shape, a tensor, or a list of these for several
              inputs. Default: one image of a usual size that the network takes.
            - ``seed`` (int): for criteria that draw random numbers. Default: 0.
            - ``data``: training data, a ``mindspore.dataset`` or a list of batches; a batch is a tensor, or a tuple of
              the network's inputs and the label. Default: None.
            - ``loss_fn``: for criteria that read gradients, a function of the network's output and the label. Default:
              cross entropy, for labels that are class numbers.
            - ``compensate`` (bool): whether ``apply`` repairs the masked network without training, with 1,024 samples
              of ``data`` at most, see :func:`~mindspore_gs.pruner.compensation.compensate`. Default: False.
            - ``save_mindir``, ``save_mindir_path``: see :class:`~mindspore_gs.CompAlgo`; what is exported is slim.
        options: the same as keywords.

    A target t is met when :math:`|cost(slim) / cost(dense) - t| \le 0.02`. The cost is the number of MACs for one
    sample or of parameters, as in :meth:`summary`, and needs no training.

    - ``scope="layer"``: the rate r in :math:`k_l = C_l - int(r C_l)`, the number of channels that layer l of
      :math:`C_l` channels keeps, whose cost is nearest to the target. Where that is farther away than 0.01, because
      many layers lose a channel at the same rate, they lose it one after the other, in order of execution; where one
      would lead away from the target, or past it by more than 0.01, its layer loses no more. Where the target is
      still not met, in a network of few narrow layers, up to two layers keep a few channels more or less; so it is with
      ``"global"`` and ``"isomorphic"``.
    - ``scope="global"``: channels go in the order of :math:`s_j / c_j` (:math:`s_j c_j` where the score
      :math:`s_j` is negative): the score over the mean magnitude of its layer's, and what one channel of the layer
      costs in the dense network. Expensive layers come down to ``min_channels``; give a floor such as 4, since
      layers of one channel cost much accuracy.
    - ``scope="isomorphic"``: each kind of layers loses the same share r of its channels. Within a kind the channels
      go in the order of ``"global"``. What a kind is, says :func:`~mindspore_gs.pruner.kinds.kinds_of`.
    - ``scope="error"``: the widths :math:`k_l` with the least :math:`\sum_l e_l(k_l)`, of those that cost no more than
      t. :math:`e_l(k)` is the error of the network's output where layer l keeps k channels and the others all, measured
      at seven widths on held-out samples of ``data``, see
      :func:`~mindspore_gs.pruner.reconstruction.error_curves`. With ``compensate`` it is that after the repair. How the
      widths are found, and how good they are, says :mod:`mindspore_gs.pruner.allocation`.
    - ``{"latency": t}``: slim candidates along the same order are exported and timed in turns with the dense network,
      for the input that the network was traced with (median of 21 runs). ``{"latency": t, "engine": "onnxruntime"}``
      times them in another engine: ``"mindspore"`` (default), ``"onnxruntime"``, ``"lite"``, or a function that takes
      the path of an ONNX file and returns seconds; see :func:`mindspore_gs.engines.engine`. At most 8 are measured;
      where none is within 0.02, the nearest is taken with a warning; where all are slower, that is an error. The
      time holds for this machine only, a busy machine gives uncertain times, and of data parallel
      processes the first measures for all. With ``scope="error"`` the network with half of one layer's channels is
      measured first for each layer, and the candidates are the widths of least error for what that foretells.

    ``norms="recompute"``: a layer normalisation over the set K of the channels that stay computes
    :math:`y_j = \gamma_j (x_j - \mu_K) / \sqrt{\sigma_K^2 + \epsilon} + \beta_j` for j in K, with mean and variance
    over K. So does it in the masked network, which therefore equals the slim one; but even channels that are zero
    everywhere change the others when they go, unlike those in front of a BatchNorm. It is for ``nn.LayerNorm`` over
    one axis, and for its subclasses that call their operator ``layer_norm``. Other normalisations keep their channels.

    Raises:
        TypeError, ValueError: an option is unknown, of the wrong type or out of range, or ``prune_rate`` and
            ``target`` are both given.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs import ChannelPruner
        >>> pruner = ChannelPruner(criterion="l1", prune_rate=0.5, input_shape=(1, 3, 8, 8))
        >>> net = nn.SequentialCell(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 1))
        >>> masked = pruner.apply(net)                     # train on here, or at once:
        >>> small = pruner.convert(masked)
        >>> small[0].weight.shape, small[2].weight.shape
        ((8, 3, 3, 3), (4, 8, 1, 1))
    """

    _config_type = ChannelConfig
    compensation: Compensation | None = None  # what the last ``apply`` has repaired
    rankings: tuple[Ranking, ...] = ()  # what the last ``apply`` has scored, and which channels stay

    @property
    def target(self) -> Target | None:
        """What shall be left of the network, or None where there is a rate."""
        return self._config.target

    @property
    def rounding(self) -> tuple[int, int]:
        """``round_to``, the finest where several may be tried, and ``min_channels``."""
        return roundings(self._config.round_to, self._config.target is not None)[-1], self._config.min_channels

    def set_prune_rate(self, prune_rate: float) -> None:
        """Set the share of channels that each layer loses.

        Raises:
            TypeError: ``prune_rate`` is not a float.
            ValueError: it is outside [0, 1), or there is a target.
        """
        self._config = with_option(self._config, type(self).__name__, "prune_rate", prune_rate)

    def apply(self, network: nn.Cell, **kwargs: Any) -> nn.Cell:
        """Mask the channels with the lowest scores, in place.

        The masked network has the shapes of the original one, and can be trained: the channels that are masked are
        zero and stay so.

        Args:
            network: the network; it is changed only if everything about it can be pruned.
            kwargs: accepted for compatibility, unused.

        Returns:
            The same object.

        Raises:
            TypeError: ``network`` is not a Cell.
            PruningError: the network cannot be pruned, has masks already, cannot meet the target, or does not take the
                data, or these hold NaN.
            ValueError: ``rates`` or ``ignore`` do not fit it.
        """
        check_cell(self, network)
        prepared = self.prepare(network)
        check_trainable(network, prepared[0], prepared[2])
        choice = self._choose(network, prepared[0], prepared[2], {})
        try_choice(network, prepared[0], choice)
        return self._masked(network, *prepared, choice)

    def _masked(self, network: nn.Cell, graph: ChannelGraph, residual: str, groups: tuple[Group, ...],
                choice: Mapping[Group, np.ndarray] | None = None) -> nn.Cell:
        """The same object, with the channels masked that have the lowest scores, or that are given."""
        choice = self._choose(network, graph, groups, {}) if choice is None else choice
        remember_names(network)
        Masks.attach(network, graph, groups, residual).set(choice)
        try:
            self._compensate(network)
        except PruningError:
            strip(network)  # it does not take the data, and is the network that came in again
            raise
        return network

    def callbacks(self, *args: Any, **kwargs: Any) -> list[Callback]:
        """Callbacks for ``Model.train`` of the masked or the slim network.

        They refuse an optimizer that was made for another network, and export a MindIR where ``save_mindir`` asks.
        """
        return [OptimizerCheck(), *super().callbacks()]

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
        check_cell(self, net_opt)
        masked = self._load(net_opt, ckpt_path) if ckpt_path else net_opt
        plan = self.plan(masked)
        check_finite(masked, f"{type(self).__name__}.convert()")
        small = slice_network(Masks(masked).detached(), plan)
        check_equal(masked, small, inputs_for(masked, record_of(masked).graph))
        return small

    def _for_export(self, network: nn.Cell) -> nn.Cell:
        """The slim network of a masked one; one that is slim already stays as it is."""
        return network if _slim_already(network) else self.convert(network)

    def _check_for_export(self, network: nn.Cell) -> None:
        """Refuse a network that is neither masked nor slim."""
        if not _slim_already(network):
            self.plan(network)

    def shrink(self, network: nn.Cell) -> nn.Cell:
        """Mask and convert in one go, without training in between; :func:`prune` does this.

        Args:
            network: the network, which stays as it is.

        Returns:
            A new, slim network.

        Raises:
            TypeError, ValueError, PruningError: as :meth:`apply` and :meth:`convert`.
        """
        check_cell(self, network)
        twin = copy_network(network)
        return self.convert(self._masked(twin, *self.prepare(twin)))

    def plan(self, network: nn.Cell) -> PrunePlan:
        """What a masked network keeps, as a plan that can be stored and carried out elsewhere.

        Raises:
            TypeError: ``network`` is not a Cell.
            PruningError: ``network`` has no masks.
            PlanError: layers that share their channels have different masks.
        """
        check_cell(self, network)
        record = record_of(network)
        if not masked_groups(network):
            raise PruningError(f"the network has no masks yet; call {type(self).__name__}(...).apply(network) first.")
        found = Masks(network).read()
        return PrunePlan.from_groups(record.graph, {group: keep for group, keep in found.items() if not keep.all()})

    def summary(self, network: nn.Cell) -> Report:
        """Print what each layer keeps, with parameters and MACs before and after.

        Args:
            network: a masked network.

        Returns:
            The report, also printed as a table.
        """
        check_cell(self, network)
        plan, graph = self.plan(network), record_of(network).graph
        small = slice_network(Masks(network).detached(), plan)
        report = compare(graph, trace(small, *(self._config.input_shape or graph.examples())))
        report.print()
        return report

    def prepare(self, network: nn.Cell) -> tuple[ChannelGraph, str, tuple[Group, ...]]:
        """Trace a network, find what may be pruned, and try it out on copies; the network stays as it is.

        Returns:
            Its channel graph, the policy for residual streams, and the groups that may lose channels.

        Raises:
            TypeError: ``network`` is not a Cell.
            PruningError: the network cannot be pruned, or has masks already.
            ValueError: ``ignore`` does not fit it.
        """
        check_cell(self, network)
        if has_record(network):
            raise PruningError(f"{type(network).__name__} has knockoffs or masks already; go on with it, or build a "
                               "new network.")
        refuse_begun(type(self).__name__, network)
        refuse_forms(type(self).__name__, network, NOT_PRUNED)
        check_finite(network, f"{type(self).__name__}.apply()")
        if self._config.criterion == "scop":
            _log.warning("criterion='scop' without the knockoff phase ranks channels by their weights alone; use "
                         "PrunerKfCompressAlgo and then PrunerFtCompressAlgo, or take criterion='l1'.")
        graph = trace(network, *(self._config.input_shape or ()), norms=self._config.norms)
        residual = self._config.residual or "keep"
        groups = free_groups(self, graph, residual, self._config.ignore)
        try_out(network, graph, groups)
        return graph, residual, groups

    def _choose(self, network: nn.Cell, graph: ChannelGraph, groups: Sequence[Group],
                evidence: Evidence) -> dict[Group, np.ndarray]:
        """Truth value per channel of each group: whether it stays."""
        config, owner = self._config, type(self).__name__
        check_patterns(owner, "rates", config.rates, graph)
        check_patterns(owner, "ignore", config.ignore, graph)
        groups = [group for group in groups if not matched(config.ignore, group_names(graph, group))]
        evidence = self._observed(network, graph, groups, evidence)
        scores = self.scores(network, graph, groups, evidence)
        counts = self._numbers_kept(network, graph, groups, scores)
        if is_greedy(config.criterion):
            choice = one_after_another(network, graph, groups, counts, self._criterion, evidence, config.seed)
        else:
            choice = {group: best(found, count) for group, found, count in zip(groups, scores, counts)}
        self.rankings = tuple(Ranking(group.members, found, choice[group]) for group, found in zip(groups, scores))
        return choice

    def scores(self, network: nn.Cell, graph: ChannelGraph, groups: Sequence[Group],
               evidence: Evidence | None = None) -> list[np.ndarray]:
        """One number for each channel of each group, by the criterion.

        Args:
            network: the network in its original form, or in the knockoff phase.
            graph: its channel graph.
            groups: groups of it.
            evidence: what is known of the channels already. Default: nothing.
        """
        evidence = self._observed(network, graph, groups, evidence or {})
        return [score(self._criterion, channels)
                for channels in channels_of(network, graph, groups, evidence, self._config.seed)]

    @property
    def _criterion(self) -> Callable[[Channels], np.ndarray]:
        given = self._config.criterion
        return given if callable(given) else CRITERIA[given]

    def _observed(self, network: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], evidence: Evidence) -> Evidence:
        """The evidence with what the criterion needs besides, from one pass over the data."""
        config = self._config
        kinds = tuple(kind for kind in evidence_needed(config.criterion) if kind not in evidence)
        if not kinds:
            return evidence
        return {**evidence, **observe(self._dense(network), graph, groups, config.data, config.loss_fn, kinds)}

    def _numbers_kept(self, network: nn.Cell, graph: ChannelGraph, groups: list[Group],
                      scores: list[np.ndarray]) -> list[int]:
        """How many channels each group keeps: by its rate, or so that the target is met."""
        config = self._config
        own = [rate_for(graph, group, config.rates) for group in groups]
        if config.target is None:
            rates = [config.prune_rate if rate is None else rate for rate in own]
            counts = [number_kept(group.size, rate, *self.rounding) for group, rate in zip(groups, rates)]
            check_something_goes(type(self).__name__, [group.size for group in groups], rates, counts, *self.rounding)
            return counts
        *coarse, finest = roundings(config.round_to, True, [group.size for group in groups])
        for round_to in coarse:
            try:
                return self._meeting_target(network, graph, groups, scores, own, (round_to, config.min_channels))
            except TargetError:  # finer multiples may meet it
                continue
        return self._meeting_target(network, graph, groups, scores, own, (finest, config.min_channels), aside=True)

    def _meeting_target(self, network: nn.Cell, graph: ChannelGraph, groups: list[Group], scores: list[np.ndarray],
                        own: list[float | None], rounding: tuple[int, int], aside: bool = False) -> list[int]:
        """How many channels each group keeps, in given multiples, so that the target is met."""
        config = self._config
        fixed = [None if rate is None else number_kept(group.size, rate, *rounding) for group, rate in zip(groups, own)]
        measure = LatencyMeter(lambda: self._dense(network), graph, groups, scores, engine(config.target.engine))
        kinds = kinds_of(graph, groups) if config.scope == "isomorphic" else ()
        curves = error_curves(self._dense(network), graph, groups, scores, config.data, fixed, rounding,
                              config.compensate, config.seed) if config.scope == "error" else ()
        return numbers_kept(config.target, config.scope, CostModel(graph, groups), scores, fixed, *rounding, measure,
                            kinds, curves, aside)

    def _compensate(self, network: nn.Cell) -> None:
        """Repair a masked network, if that is asked for. Data parallel processes all get what the first one finds."""
        if self._config.compensate:
            self.compensation = compensate(network, self._config.data)
            take_from_first_rank(network.get_parameters())

    def _dense(self, network: nn.Cell) -> nn.Cell:
        """The network in its original form, for measurements."""
        return network

    def _load(self, net: nn.Cell, ckpt_path: str) -> nn.Cell:
        """A masked copy of ``net`` with the values of a checkpoint."""
        values = read_checkpoint(ckpt_path)
        if masked_groups(net):
            masked = copy_network(net)
            return load_parameters(masked, fits_masks(masked, values, ckpt_path), ckpt_path)
        plain = self._dense(copy_network(net))
        graph = record_of(net).graph if has_record(net) else trace(plain, *(self._config.input_shape or ()),
                                                                   norms=self._config.norms)
        policies = [record_of(net).residual] if has_record(net) else [self._config.residual or "keep"]
        reasons = []
        for residual in dict.fromkeys((*policies, *RESIDUAL_POLICIES)):
            masked = copy_network(plain)
            groups = [group for group in prunable_groups(graph, residual) if group.blocked_by is None]
            masks = Masks.attach(masked, graph, groups, residual)
            try:
                load_parameters(masked, fits_masks(masked, values, ckpt_path), ckpt_path)
                masks.read()
                return masked
            except (CheckpointError, PlanError) as error:
                reasons.append(error)
        raise reasons[0]


def _slim_already(network: nn.Cell) -> bool:
    return not has_record(network) and carried_plan(network) is not None


def free_groups(algorithm: CompAlgo, graph: ChannelGraph, residual: str, ignore: Sequence[str]) -> tuple[Group, ...]:
    """The groups that may lose channels and are not ignored.

    Raises:
        ValueError: a pattern in ``ignore`` matches nothing.
        PruningError: there is none; says why.
    """
    check_patterns(type(algorithm).__name__, "ignore", ignore, graph)
    groups = prunable_groups(graph, residual)
    ignored = [group for group in groups if matched(ignore, group_names(graph, group))]
    free = tuple(group for group in groups if group.blocked_by is None and group not in ignored)
    if all(group.size == 1 for group in free):  # a layer keeps its last channel
        named = [(group, "ignored" if group in ignored else "it has one channel") for group in groups]
        reasons = [f"{group.name or group.weights[0]}: {group.blocked_by or why}" for group, why in named]
        raise PruningError(f"no layer has channels that may be removed with residual={residual!r}"
                           + (f" and ignore={list(ignore)}" if ignore else "")
                           + (" (" + "; ".join(reasons[:3]) + ")." if reasons else "; it has no layer that makes any."))
    return free


def prune(net: nn.Cell, criterion: Any = "l1", target: Mapping[str, float] | None = None, inputs: Any = None,
          **options: Any) -> nn.Cell:
    """Make a network small in one call.

    Args:
        net: the network, trained or not; it stays as it is.
        criterion: which channels matter, as in :class:`ChannelPruner`. Default: ``"l1"``.
        target: what shall be left of the network, such as ``{"macs": 0.5}``. Default: half of the MACs, unless
            ``prune_rate`` is among the options.
        inputs: what the network is called with: a shape, a tensor, or a list of these for several inputs. Default: one
            image of a usual size that the network takes.
        options: any other option of :class:`ChannelPruner`.

    Returns:
        A new, slim network with the original parameter names, equal to the network in which the removed channels are
        masked. Fine-tune it: without that, its accuracy is lower than the original's.

    Raises:
        TypeError, ValueError, PruningError: as :class:`ChannelPruner` and its ``apply``.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs import prune
        >>> net = nn.SequentialCell(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
        ...                         nn.Conv2d(64, 8, 1))
        >>> small = prune(net, criterion="l1", target={"macs": 0.5}, inputs=(1, 3, 16, 16))
        >>> small[0].weight.shape[0], small[2].weight.shape[:2], net[2].weight.shape[:2]
        (44, (44, 44), (64, 64))
    """
    if "input_shape" in options:
        raise TypeError("prune() calls 'input_shape' 'inputs'; give it by that name.")
    if target is None and "prune_rate" not in options:
        target = {"macs": 0.5}
    pruner = ChannelPruner(criterion=criterion, target=target, input_shape=inputs, **options)
    return pruner.shrink(net)
