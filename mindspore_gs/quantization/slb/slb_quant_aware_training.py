"""Golden Stick's class for SLB."""

import os
from typing import Any

from mindspore import nn
from mindspore.common.dtype import QuantDtype
from mindspore.dataset import Dataset
from mindspore.train import Callback, Model

from mindspore_gs._cells import copy_network, every_cell
from mindspore_gs._config import with_option
from mindspore_gs.checkpoint import load_parameters, read_checkpoint
from mindspore_gs.comp_algo import CompAlgo, check_cell
from mindspore_gs.errors import PruningError
from mindspore_gs.quantization.slb.callbacks import (
    BNCalibrationCallback,
    TemperatureScheduler,
    check_takes_inputs,
    searched_network,
    set_epoch,
)
from mindspore_gs.quantization.slb.config import SlbConfig, act_dtype, weight_dtype
from mindspore_gs.quantization.slb.convert import converted, quantized_layers
from mindspore_gs.quantization.slb.layers import chosen_layers, quantizers, search_weights, slb_layers
from mindspore_gs.quantization.slb.schedule import Schedule
from mindspore_gs.record import has_record, refuse_begun


class SlbQuantAwareTraining(CompAlgo):
    r"""Search low-bit weights: each weight is a distribution over a few values, and training sharpens it.

    A weight of b bits is one of :math:`2^b` candidates :math:`v_i`, evenly spaced from -1 to 1, times the scale s of
    its output channel. Training learns logits a for each weight and computes with the mean of its distribution,

    .. math:: w = s \sum_i v_i \, \mathrm{softmax}(T a)_i .

    The temperature T rises during training (:class:`~mindspore_gs.quantization.slb.schedule.Schedule`), and in the end,
    as in evaluation, the weight is s times the likeliest candidate. Source: Yang et al., Searching for Low-Bit Weights
    in Quantized Neural Networks, NeurIPS 2020. The scales and the start from trained weights
    (:mod:`~mindspore_gs.quantization.slb.values`) are not in the paper.

    Args:
        config: options as a dict, or None.

            - ``quant_dtype``: [activation, weight] of ``mindspore.common.dtype.QuantDtype``; one type alone is that of
              the weights. Weights take INT1, INT2 and INT4, activations INT8. Default: [INT8, INT1].
            - ``enable_act_quant`` (bool): round the inputs of the searched layers to 8 bits. Default: False.
            - ``enable_bn_calibration`` (bool): estimate the BatchNorm statistics anew after each epoch in which T
              rises or has risen. Default: False.
            - ``epoch_size`` (int): epochs of the whole training; :meth:`callbacks` needs it.
            - ``has_trained_epoch`` (int): epochs of an earlier run that this one continues; :meth:`callbacks` needs
              it.
            - ``t_start_val`` (float): T at the start. Default: 1.0.
            - ``t_start_time`` (float): share of the epochs after which T rises. Default: 0.2.
            - ``t_end_time`` (float): share of the epochs after which the weights are the likeliest candidates.
              Default: 0.6.
            - ``t_factor`` (float): what T is multiplied with from epoch to epoch. Default: 1.2.
            - ``start`` (str): ``"weights"`` chooses the logits so that the soft weights are the network's present
              weights, as nearly as the candidates allow; ``"random"`` draws them, as Golden Stick does.
              Default: ``"weights"``.
            - ``dense`` (bool): search the weights of dense layers, too. Default: False.
            - ``keep_first_last`` (bool): leave the first and the last layers, found by dataflow, in float.
              Default: False.
            - ``keep_float`` (list of str): paths or patterns of layers that stay in float. Default: [].
            - ``input_shape``: what the network is traced with, for ``keep_first_last``, such as (1, 3, 32, 32).
              Default: a usual image size that fits.
            - ``seed`` (int): for ``start="random"``. Default: 0.
            - ``save_mindir``, ``save_mindir_path``: see :class:`~mindspore_gs.CompAlgo`.
        options: the same options as keywords; they win over ``config``.

    Raises:
        TypeError: ``config`` is not a dict, or an option has the wrong type.
        ValueError: an option is unknown or out of range.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore import nn
        >>> from mindspore.common.dtype import QuantDtype
        >>> from mindspore_gs.quantization import SlbQuantAwareTraining
        >>> net = nn.SequentialCell(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
        >>> slb = SlbQuantAwareTraining()
        >>> slb.set_weight_quant_dtype(QuantDtype.INT2)
        >>> net = slb.apply(net)
        >>> net[0].weight_quantizer().num_bits, net[0].weight.shape, net.trainable_params()[0].shape
        (2, (2, 1, 3, 3), (2, 1, 3, 3, 4))
        >>> plain = slb.convert(net)
        >>> len(set(plain[0].weight.asnumpy()[0].ravel().tolist())) <= 4
        True
    """

    _config_type = SlbConfig

    def set_weight_quant_dtype(self, weight_quant_dtype: QuantDtype = QuantDtype.INT1) -> None:
        """The type of the weights.

        Raises:
            TypeError: it is no QuantDtype.
            ValueError: it is not INT1, INT2 or INT4.
        """
        self._set("quant_dtype", (self._config.act_quant_dtype, weight_dtype(weight_quant_dtype)))

    def set_act_quant_dtype(self, act_quant_dtype: QuantDtype = QuantDtype.INT8) -> None:
        """The type of the activations.

        Raises:
            TypeError: it is no QuantDtype.
            ValueError: it is not INT8.
        """
        self._set("quant_dtype", (act_dtype(act_quant_dtype), self._config.weight_quant_dtype))

    def set_enable_act_quant(self, enable_act_quant: bool = False) -> None:
        """Whether inputs of searched layers are rounded.

        Raises:
            TypeError: it is no bool.
        """
        self._set("enable_act_quant", enable_act_quant)

    def set_enable_bn_calibration(self, enable_bn_calibration: bool = False) -> None:
        """Whether BatchNorm statistics are estimated anew after the epochs.

        Raises:
            TypeError: it is no bool.
        """
        self._set("enable_bn_calibration", enable_bn_calibration)

    def set_epoch_size(self, epoch_size: int) -> None:
        """Epochs of the whole training.

        Raises:
            TypeError: it is no int.
            ValueError: it is not greater than 0.
        """
        self._set("epoch_size", epoch_size)

    def set_has_trained_epoch(self, has_trained_epoch: int) -> None:
        """Epochs of an earlier run.

        Raises:
            TypeError: it is no int.
            ValueError: it is less than 0.
        """
        self._set("has_trained_epoch", has_trained_epoch)

    def set_t_start_val(self, t_start_val: float = 1.0) -> None:
        """The temperature at the start.

        Raises:
            TypeError: it is no float.
            ValueError: it is not greater than 0.
        """
        self._set("t_start_val", t_start_val)

    def set_t_start_time(self, t_start_time: float = 0.2) -> None:
        """Share of the epochs after which the temperature rises.

        Raises:
            TypeError: it is no float.
            ValueError: it is not within [0, 1].
        """
        self._set("t_start_time", t_start_time)

    def set_t_end_time(self, t_end_time: float = 0.6) -> None:
        """Share of the epochs after which the weights are the likeliest candidates.

        Raises:
            TypeError: it is no float.
            ValueError: it is not within [0, 1].
        """
        self._set("t_end_time", t_end_time)

    def set_t_factor(self, t_factor: float = 1.2) -> None:
        """What the temperature is multiplied with from epoch to epoch.

        Raises:
            TypeError: it is no float.
            ValueError: it is not greater than 0.
        """
        self._set("t_factor", t_factor)

    def _set(self, name: str, value: Any) -> None:
        self._config = with_option(self._config, type(self).__name__, name, value)

    def apply(self, network: nn.Cell, **kwargs: Any) -> nn.Cell:
        """Give the convolutions of a network searched weights, in place.

        A layer stays the cell that it is, and the parameter with its weight's name holds the logits, with one more
        axis of size 2^bits. Make the optimizer afterwards.

        Args:
            network: the network, with trained or initialised weights.
            kwargs: accepted for compatibility, unused.

        Returns:
            The same object.

        Raises:
            TypeError: ``network`` is not a Cell.
            PruningError: it has no convolution, it is quantised or masked already, or weights are all zero or not
                finite. The network stays as it is.
            ValueError: a pattern of ``keep_float`` fits no layer.
        """
        check_cell(self, network)
        if slb_layers(network) or quantized_layers(network):
            raise PruningError(f"{type(network).__name__} has low-bit weights already; apply SLB to the float network.")
        if has_record(network):
            raise PruningError(f"{type(network).__name__} has knockoffs or masks; call convert() of its pruner first, "
                               "and apply SLB to the small network.")
        refuse_begun(type(self).__name__, network)
        return search_weights(network, chosen_layers(network, self._config), self._config)

    def callbacks(self, model: Model, dataset: Dataset, *args: Any, **kwargs: Any) -> list[Callback]:
        """Callbacks for ``Model.train``: the temperature, the calibration of BatchNorm and the MindIR export.

        Args:
            model: the Model that trains the network.
            dataset: the training data; the last column is the label.
            args: accepted for compatibility, unused.
            kwargs: accepted for compatibility, unused.

        Returns:
            A list of callbacks.

        Raises:
            RuntimeError: ``epoch_size`` or ``has_trained_epoch`` is not set.
            ValueError: ``epoch_size`` is not greater than ``has_trained_epoch``, or ``t_end_time`` is less than
                ``t_start_time``.
            TypeError: ``model`` is no Model, or ``dataset`` is no Dataset.
            PruningError: the model's network has no searched layers, or is to be calibrated and takes the label, too.
        """
        schedule = self._schedule()
        trained = self._config.has_trained_epoch
        if trained == -1:
            raise RuntimeError("The `has_trained_epoch` need to be initialized! Call set_has_trained_epoch(0) where "
                               "training starts.")
        if self._config.epoch_size <= trained:
            raise ValueError("The `epoch_size` should be greater than `has_trained_epoch`. Got "
                             f"{self._config.epoch_size} and {trained}.")
        self._check_times()
        if not isinstance(model, Model):
            raise TypeError(f"The parameter `model` must be isinstance of mindspore.Model, but got {model}.")
        if not isinstance(dataset, Dataset):
            raise TypeError("The parameter `dataset` must be isinstance of mindspore.dataset.Dataset, but got "
                            f"{dataset}.")
        if not quantizers(every_cell(model.train_network)):
            raise PruningError("the network of the Model has no layers with searched weights; call apply() on the "
                               "network before the Model is made.")
        found: list[Callback] = [TemperatureScheduler(model, schedule, trained)]
        if self._config.enable_bn_calibration or self._config.save_mindir:
            check_takes_inputs(searched_network(model.train_network), dataset)
        if self._config.enable_bn_calibration:
            found.append(BNCalibrationCallback(model, dataset, schedule, trained))
        return found + super().callbacks()

    def _compressed(self, network: nn.Cell) -> nn.Cell:
        return searched_network(network)

    def _schedule(self) -> Schedule:
        if self._config.epoch_size == -1:
            raise RuntimeError("The `epoch_size` need to be initialized! Call set_epoch_size() with the epochs of the "
                               "whole training.")
        return Schedule(self._config.epoch_size, self._config.t_start_val, self._config.t_start_time,
                        self._config.t_end_time, self._config.t_factor)

    def _check_times(self) -> None:
        if self._config.t_end_time < self._config.t_start_time:
            raise ValueError("The `t_end_time` should not be less than `t_start_time`. Got "
                             f"{self._config.t_end_time} and {self._config.t_start_time}.")

    def set_epoch(self, network: nn.Cell, epoch: int) -> None:
        """For training loops of one's own: set the temperature of an epoch.

        Args:
            network: the network that :meth:`apply` returned, or a cell around it.
            epoch: number of the epoch, counted from 1.

        Raises:
            RuntimeError: ``epoch_size`` is not set.
            ValueError: ``t_end_time`` is less than ``t_start_time``.
            PruningError: the network has no searched layers.
        """
        schedule = self._schedule()
        self._check_times()
        set_epoch(network, schedule, epoch)

    def convert(self, net_opt: nn.Cell, ckpt_path: str = "") -> nn.Cell:
        """Turn a network with searched weights into one of plain cells with low-bit weights.

        Args:
            net_opt: what :meth:`apply` returned, trained or not; it stays as it is.
            ckpt_path: a checkpoint of this network to load first. Default: none.

        Returns:
            A copy in which each searched layer is the cell that it was, with weights that are scale times candidate. It
            computes what ``net_opt`` computes in evaluation mode. With ``enable_act_quant`` the layers round their
            inputs with fixed numbers.

        Raises:
            TypeError: ``net_opt`` is not a Cell, or ``ckpt_path`` is not a str.
            ValueError: there is no file at ``ckpt_path``.
            CheckpointError: the file cannot be read, or belongs to another network.
            PruningError: ``net_opt`` has no searched layers.
        """
        if not isinstance(net_opt, nn.Cell):
            raise TypeError(f"The parameter `net_opt` must be isinstance of Cell, but got {type(net_opt)}.")
        if not isinstance(ckpt_path, str):
            raise TypeError(f"The parameter `ckpt_path` must be isinstance of str, but got {type(ckpt_path)}.")
        if ckpt_path and not os.path.isfile(ckpt_path):
            raise ValueError("The parameter `ckpt_path` can only be empty or a valid file, but got "
                             f"{os.path.realpath(ckpt_path)}.")
        if ckpt_path:
            net_opt = load_parameters(copy_network(net_opt), read_checkpoint(ckpt_path), ckpt_path)
        return converted(net_opt)

    def __repr__(self) -> str:
        """Name and options."""
        names = ("weight_quant_dtype", "act_quant_dtype", "enable_act_quant", "enable_bn_calibration", "epoch_size",
                 "has_trained_epoch", "t_start_val", "t_start_time", "t_end_time", "t_factor")
        return f"{type(self).__name__}<{', '.join(f'{name}={getattr(self._config, name)}' for name in names)}>"
