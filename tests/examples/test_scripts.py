"""What the scripts refuse, in this process: fast."""
import doctest
import importlib

import pytest
import train
from src.config import Config, override
from src.errors import InputError, run_script

from mindspore_gs.errors import CheckpointError, PruningError


@pytest.mark.parametrize("values, message", [
    ({}, "give prune_rate or target_macs"),
    ({"prune_rate": 0.5}, "there is no network to prune"),
    ({"prune_rate": 0.5, "pretrained": "none.ckpt"}, "checkpoint 'none.ckpt' is no file"),
    ({"prune_rate": 0.5, "epochs": 1, "data_path": "/nowhere"}, "has no data_batch_1.bin"),
    ({"prune_rate": 0.5, "epochs": 1, "net": "vgg"}, "net is 'vgg'"),
    ({"prune_rate": 0.5, "epochs": 1, "kf_config": "{residuel: keep}"}, "'residuel' is not an option"),
    ({"prune_rate": 0.5, "epochs": 1, "ft_config": "{prune_rate: 2.0}"}, "in range of [0.0, 1.0), but got 2.0"),
    ({"target_macs": 0.1, "epochs": 1, "ignore": "[layer1.*]"}, "no choice of channels that leaves 0.1 of")])
def test_train_refuses_before_it_trains(values, message):
    with pytest.raises((InputError, PruningError)) as error:
        train.run(override(Config(), values))
    assert message in str(error.value)


@pytest.mark.parametrize("error", [InputError("first line\n  second"), CheckpointError("first line\n  second")])
def test_errors_of_input_become_one_line(capsys, error):
    def fail():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_script(fail)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: first line second\n"


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 / 0)


def test_docstrings():
    found = doctest.testmod(importlib.import_module("src.lr"))
    assert found.attempted > 0 and found.failed == 0
