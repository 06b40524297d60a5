from dataclasses import fields

import pytest
from src.config import CONFIG_FOLDER, Config, override, parse_config
from src.errors import InputError


def parse(*arguments):
    return parse_config(list(arguments), "resnet20_cifar10.yaml", "about")


def test_the_command_line_goes_over_the_file_and_the_file_over_the_defaults():
    config = parse("--ft_lr", "2e-3")
    assert (config.ft_lr, config.kf_lr, config.epochs) == (0.002, 0.004, 160)
    assert Config().epochs == 0


@pytest.mark.parametrize("path", sorted(CONFIG_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_read(path):
    assert parse("--config_path", path.name) == parse("--config_path", str(path))


@pytest.mark.parametrize("item", fields(Config), ids=lambda item: item.name)
def test_every_key_can_be_given_on_the_command_line(item):
    other = {"holdout": "5", "eval_on": "test", "target_macs": "0.4", "prune_rate": "0.4", "export": "false",
             "ft_teacher": "0.25"}
    default = getattr(Config(), item.name)
    if item.metadata["choices"]:
        text = item.metadata["choices"][-1] if item.name != "eval_on" else "test"
    elif isinstance(default, dict):
        text = "{a: 0.5}"
    elif isinstance(default, list):
        text = "[a]"
    else:
        text = other.get(item.name, "3")
    assert str(getattr(parse(f"--{item.name}", text), item.name)).lower() in (
        text.lower(), "{'a': 0.5}", "['a']", f"{text}.0")


def test_yaml_notations_become_the_type_of_the_key():
    config = override(Config(), {"lr": "1e-3", "kf_steps": "1e2", "data_path": "none", "rates": "{layer1.*: 0.2}",
                                 "export": "no", "ignore": "[layer3.*, fc]"})
    assert (config.lr, config.kf_steps, config.data_path) == (0.001, 100, None)
    assert (config.rates, config.export, config.ignore) == ({"layer1.*": 0.2}, False, ["layer3.*", "fc"])


def test_a_rate_on_the_command_line_replaces_the_budget_of_the_file():
    assert parse().target_macs == 0.5
    config = parse("--prune_rate", "0.3")
    assert (config.prune_rate, config.target_macs) == (0.3, None)


@pytest.mark.parametrize("arguments, message", [
    (["--nett", "a"], "unrecognized arguments: --nett a"),
    (["--lr", "fast"], "lr must be float, but got 'fast'"),
    (["--seed", "1.5"], "seed must be int, but got '1.5'"),
    (["--export", "perhaps"], "export must be bool, but got 'perhaps'"),
    (["--rates", "[1]"], "rates must be dict, but got '[1]'"),
    (["--mode", "EAGER"], "mode must be one of GRAPH, PYNATIVE, but got 'EAGER'"),
    (["--prune_rate", "1"], r"prune_rate must be in [0, 1), but got 1.0"),
    (["--target_macs", "0"], r"target_macs must be in (0, 1), but got 0.0"),
    (["--prune_rate", "0.3", "--target_macs", "0.5"], "give prune_rate or target_macs, not both"),
    (["--eval_on", "holdout"], "eval_on is holdout, but holdout is 0"),
    (["--batch_size", "0"], "batch_size must be at least 1, but got 0"),
    (["--ft_epochs", "-1"], "ft_epochs must not be negative, but got -1"),
    (["--config_path", "nowhere.yaml"], "config_path 'nowhere.yaml' is no file"),
])
def test_wrong_input_is_refused_with_what_was_got(arguments, message):
    with pytest.raises(InputError) as error:
        parse(*arguments)
    assert message in str(error.value)


@pytest.mark.parametrize("text, message", [
    ("nett: a", "unknown key 'nett'; did you mean 'net'?"), ("- a", "must be a mapping"), ("a: [", "not YAML")])
def test_a_wrong_file_is_refused(tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        parse("--config_path", str(path))
    assert message in str(error.value)


def test_each_network_has_its_own_file_unless_one_is_given():
    assert parse("--net", "resnet56").output_path == "output/resnet56"
    assert parse("--net", "resnet56", "--config_path", "resnet20_cifar10.yaml").output_path == "output/resnet20"
    assert (parse("--net", "resnet18").net, parse("--net", "resnet18").output_path) == ("resnet18", "output/resnet20")
