"""What SLB does between the epochs of ``Model.train``."""

from inspect import signature
from typing import Any

from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._cells import every_cell
from mindspore_gs.errors import PruningError
from mindspore_gs.quantization.slb.layers import MARK, quantizers, searched_logits
from mindspore_gs.quantization.slb.schedule import Schedule


def set_epoch(net: nn.Cell, schedule: Schedule, epoch: int) -> None:
    """Give every searched layer of a network the temperature of an epoch, counted from 1.

    Raises:
        PruningError: there is no searched layer.
    """
    found = quantizers(every_cell(net))
    if not found:
        raise PruningError(f"{type(net).__name__} has no layers with searched weights; call "
                           "SlbQuantAwareTraining.apply() on the network first, and give its result to the Model.")
    for quantizer in found:
        quantizer.set_temperature(schedule.temperature(epoch))
        quantizer.set_temperature_end_flag(schedule.ended(epoch))


class TemperatureScheduler(Callback):
    """Set the temperature at the beginning of each epoch.

    Args:
        model: the Model that trains the network.
        schedule: the temperature of each epoch.
        has_trained_epoch: epochs of an earlier run, which this one continues. Default: 0.
    """

    def __init__(self, model: Any, schedule: Schedule, has_trained_epoch: int = 0):
        super().__init__()
        self.model, self.schedule, self.has_trained_epoch = model, schedule, has_trained_epoch

    def on_train_begin(self, run_context: Any) -> None:
        """Refuse an optimizer that was made before ``apply``.

        Raises:
            PruningError: it trains none of the logits.
        """
        from mindspore_gs.pruner.optimizers import optimizer_of, parameters_of

        optimizer = optimizer_of(run_context.original_args())
        trained = {id(p) for p in parameters_of(optimizer)}
        logits = {id(p) for p in searched_logits(self.model.train_network) if p.requires_grad}
        if trained and logits and not logits & trained:
            raise PruningError(f"this {type(optimizer).__name__} trains none of the searched weights: it was made "
                               "before apply(). Make it afterwards, from the trainable_params() of the network.")

    def on_train_epoch_begin(self, run_context: Any) -> None:
        """Set temperature and flag."""
        epoch = run_context.original_args().cur_epoch_num + self.has_trained_epoch
        set_epoch(self.model.train_network, self.schedule, epoch)


class BNCalibrationCallback(Callback):
    """Estimate the BatchNorm statistics anew after each epoch, with the weights that evaluation uses.

    In training the layers see soft weights, so the moving statistics belong to another network than the one that is
    evaluated. The statistics become the plain mean over the batches of ``dataset``, as
    :func:`mindspore_gs.recalibrate` computes them on a copy: ``use_batch_statistics`` and the training flags of the
    network are what they were.

    Args:
        model: the Model that trains the network.
        dataset: the training data; the last column is the label.
        schedule: says from which epoch on.
        has_trained_epoch: epochs of an earlier run. Default: 0.
    """

    def __init__(self, model: Any, dataset: Any, schedule: Schedule, has_trained_epoch: int = 0):
        super().__init__()
        self.model, self.dataset = model, dataset
        self.schedule, self.has_trained_epoch = schedule, has_trained_epoch

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Calibrate, once the temperature rises."""
        from mindspore_gs.pruner.recalibration import recalibrate

        epoch = run_context.original_args().cur_epoch_num + self.has_trained_epoch
        if self.schedule.begun(epoch):
            recalibrate(searched_network(self.model.train_network), self.dataset)


def check_takes_inputs(net: nn.Cell, dataset: Any) -> None:
    """Refuse to calibrate or export a cell that computes the loss as well, which the inputs alone are not enough for.

    Args:
        net: what ``apply`` was called with.
        dataset: the training data; the last column is the label.

    Raises:
        PruningError: ``construct`` wants the label, too.
    """
    wanted = [p.name for p in signature(net.construct).parameters.values()
              if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    inputs = max(1, len(dataset.get_col_names()) - 1)
    if len(wanted) > inputs:
        raise PruningError(f"SLB was applied to {type(net).__name__}, whose construct() takes {', '.join(wanted)}, but "
                           f"the calibration of BatchNorm and the MindIR run it on the {inputs} "
                           f"input{'s' * (inputs > 1)} of the data, without the label. Call apply() on the network "
                           "inside of it, or leave 'enable_bn_calibration' and 'save_mindir' False.")


def searched_network(net: nn.Cell) -> nn.Cell:
    """The network that ``apply`` returned, inside of the cells that a Model or a user put around it.

    Raises:
        PruningError: there is none.
    """
    for cell in every_cell(net):
        if MARK in vars(cell):
            return cell
    raise PruningError(f"{type(net).__name__} has no layers with searched weights; call "
                       "SlbQuantAwareTraining.apply() on the network first, and give its result to the Model.")
