"""Golden Stick's interface: the base of every compression algorithm, its configuration and its callback."""

import logging
import os
from abc import ABC, abstractmethod
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._cells import copy_network
from mindspore_gs._config import CommonConfig, path, read_config, with_option

_log = logging.getLogger("mindspore_gs")
CompAlgoConfig = CommonConfig


class CompAlgo(ABC):
    """Base of the compression algorithms.

    Args:
        config: options as a dict, or None. Every algorithm has

            - ``save_mindir`` (bool): export a MindIR when training ends. Default: False.
            - ``save_mindir_path`` (str): where to, without the suffix. Default: ``"./network"``.
        options: the same options as keywords; they win over ``config``.

    Raises:
        TypeError: ``config`` is not a dict, or an option has the wrong type.
        ValueError: an option is unknown or out of range.
    """

    _config_type: type = CommonConfig

    def __init__(self, config: dict | None = None, **options: Any):
        self._config = read_config(self._config_type, type(self).__name__, config, options)

    @abstractmethod
    def apply(self, network: nn.Cell, **kwargs: Any) -> nn.Cell:
        """Compress ``network``."""

    def callbacks(self, *args: Any, **kwargs: Any) -> list[Callback]:
        """Callbacks for ``Model.train``: the MindIR export, where ``save_mindir`` asks for it."""
        if self._config.save_mindir:
            return [ExportMindIRCallBack(self, os.path.realpath(self._config.save_mindir_path))]
        return []

    def set_save_mindir(self, save_mindir: bool) -> None:
        """Whether to export a MindIR when training ends.

        Raises:
            TypeError: ``save_mindir`` is not a bool.
        """
        self._config = with_option(self._config, type(self).__name__, "save_mindir", save_mindir)

    def set_save_mindir_path(self, save_mindir_path: str) -> None:
        """Where to export it, without the suffix; takes effect if ``save_mindir`` is set.

        Raises:
            ValueError: ``save_mindir_path`` is not a non-empty string.
        """
        if not self._config.save_mindir:
            _log.warning("'save_mindir_path' takes effect only when 'save_mindir' is True.")
        self._config = with_option(self._config, type(self).__name__, "save_mindir_path", save_mindir_path)

    def convert(self, net_opt: nn.Cell, ckpt_path: str = "") -> nn.Cell:
        """Turn a compressed network into one for deployment. The base class only loads the checkpoint, if there is one.

        Args:
            net_opt: the network, which stays as it is.
            ckpt_path: a checkpoint of it. Default: none.

        Returns:
            The same object, or with ``ckpt_path`` a copy with the values of the checkpoint.

        Raises:
            TypeError: ``net_opt`` is not a Cell.
            CheckpointError: the file cannot be read, or belongs to another network.
        """
        if not ckpt_path:
            return net_opt
        from mindspore_gs.checkpoint import load_parameters, read_checkpoint

        check_cell(self, net_opt)
        return load_parameters(copy_network(net_opt), read_checkpoint(ckpt_path), ckpt_path)

    def _for_export(self, network: nn.Cell) -> nn.Cell:
        """What the callback exports of the network that was trained: what ``convert`` makes of it."""
        return self.convert(network)

    def _check_for_export(self, network: nn.Cell) -> None:
        """Refuse a network that the callback could not export when training ends. The base class takes any."""

    def loss(self, loss_fn: Any) -> Any:
        """Adjust the loss function. The base class has nothing to do."""
        return loss_fn

    def _compressed(self, network: nn.Cell) -> nn.Cell:
        """The network that was compressed, where a cell with the loss was given to ``Model`` in its place."""
        from mindspore_gs.record import has_record
        from mindspore_gs.slim.carried import network_with_plan

        return next((cell for _, cell in network.cells_and_names() if has_record(cell)), network_with_plan(network))

    def summary(self, network: nn.Cell) -> Any:
        """Print what the algorithm did to each layer. The base class has nothing to say."""


class ExportMindIRCallBack(Callback):
    """Export the compressed network when training ends.

    Args:
        algo: the algorithm; its ``convert`` gives the network that is exported. One that is slim already is exported
            as it is.
        save_mindir_path: path of the file, without the suffix.
    """

    def __init__(self, algo: CompAlgo, save_mindir_path: str):
        super().__init__()
        if not isinstance(algo, CompAlgo):
            raise TypeError(f"For 'ExportMindIRCallBack', the 'algo' must be 'CompAlgo', but got "
                            f"'{type(algo).__name__}'.")
        self._algo = algo
        self._save_mindir_path = path("ExportMindIRCallBack", "save_mindir_path", save_mindir_path)

    def on_train_begin(self, run_context: Any) -> None:
        """Refuse, before the first step, a network that nothing could be exported of behind the last one.

        Raises:
            PruningError: the algorithm has not been applied to it.
        """
        self._algo._check_for_export(self._algo._compressed(run_context.original_args().network))

    def on_train_end(self, run_context: Any) -> None:
        """Convert and export; the inputs have the shapes of the training data, with a batch of one."""
        from mindspore_gs.export import export_mindir

        parameters = run_context.original_args()
        dataset = parameters.train_dataset
        columns = list(zip(dataset.output_shapes(), dataset.output_types()))
        inputs = [ms.Tensor(np.zeros((1, *shape[1:]), kind)) for shape, kind in columns[:max(1, len(columns) - 1)]]
        network = self._algo._for_export(self._algo._compressed(parameters.network))
        export_mindir(network, inputs, self._save_mindir_path)


def check_cell(algorithm: CompAlgo, network: Any) -> None:
    """Refuse what is no network.

    Raises:
        TypeError: ``network`` is not a Cell.
    """
    if not isinstance(network, nn.Cell):
        raise TypeError(f"For '{type(algorithm).__name__}', the 'network' must be 'Cell', but got "
                        f"'{type(network).__name__}'.")
