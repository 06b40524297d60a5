"""Two lanes. ``make test`` takes a few minutes: of a test with many cases a few, and nothing that takes long.

``make test-all`` runs every case, and what takes long, as CI does. A line at the end says what was left out.
"""

from collections import Counter, defaultdict

import pytest

# What takes five seconds and more on a quiet machine, by the beginning of its name.
LONG = (
    "tests/benchmarks/", "tests/distill/test_joint_rd.py::test_dirac_kernels_settle_into_plain_ones",
    "tests/distill/test_joint_rd.py::test_training_reaches_the_student_and_the_connectors_only",
    "tests/distill/test_joint_rd.py::test_the_teacher_takes_its_own_step",
    "tests/distill/test_joint_rd.py::test_blocks_can_be_chosen",
    "tests/examples/test_end_to_end.py", "tests/examples/test_golden_stick_scop.py::test_train_eval_and_train_again",
    "tests/examples/test_mindcv_prune.py::test_the_files_hold_the_small_network",
    "tests/examples/test_mindcv_prune.py::test_accuracy_is_measured_at_each_stage",
    "tests/examples/test_mindcv_prune.py::test_mistakes_are_one_line", "tests/examples/test_resume.py",
    "tests/examples/test_yolo.py::test_every_stage",
    "tests/export/test_onnx_zoo.py", "tests/portability/", "tests/pruner/test_channel.py::test_names_never_matter",
    "tests/pruner/test_channel.py::test_three_rounds_and_every_file_reloads",
    "tests/pruner/test_fine_tuning.py",
    "tests/pruner/test_golden_stick.py::test_a_masked_checkpoint_has_the_same_shapes_at_every_rate",
    "tests/pruner/test_widths.py::test_slim_candidates_are_exported_and_run_against_the_dense_network",
    "tests/quantization/test_slb_networks.py", "tests/quantization/test_slb_training.py",
    "tests/slim/test_random_networks.py", "tests/test_docs.py::test_the_code_of_a_page_runs_and_prints_what_it_says",
    "tests/test_exactness.py", "tests/test_real_data.py", "tests/test_recipes.py", "tests/trust/test_processes.py",
    "tests/zoo/test_pruner.py", "tests/zoo/test_zoo.py::test_sample")


def pytest_addoption(parser):
    """The option ``--cases``."""
    parser.addoption("--cases", type=int, default=0, metavar="N",
                     help="run at most N cases of each parametrised test, from the first to the last; 0: all of them")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark what takes long, and leave out cases beyond ``--cases``."""
    for item in items:
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.long)
    without = {name for name in ("long", "slow") if f"not {name}" in config.option.markexpr}
    left = Counter(name for item in items for name in without if item.get_closest_marker(name))
    rest = surplus([item.nodeid for item in items], config.option.cases)
    left["cases"] = len(rest)
    config.stash[LEFT] = dict(left)
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in rest])
    items[:] = [item for item in items if item.nodeid not in rest]
    if hasattr(config, "workeroutput"):
        config.workeroutput["left"] = dict(left)


LEFT = pytest.StashKey()


def surplus(names, cases):
    """The names of cases beyond ``cases`` for each test; those that stay are spread from the first to the last.

    >>> sorted(surplus(["a[1]", "a[2]", "a[3]", "a[4]", "b"], 2))
    ['a[2]', 'a[3]']
    """
    if not cases:
        return set()
    found = defaultdict(list)
    for name in names:
        found[name.partition("[")[0]].append(name)
    gone = set()
    for own in found.values():
        last, count = len(own) - 1, min(cases, len(own))
        places = {round(k * last / max(count - 1, 1)) for k in range(count)}
        gone |= {name for k, name in enumerate(own) if k not in places}
    return gone


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """What a process of pytest-xdist has left out; all of them leave out the same."""
    node.config.stash[LEFT] = getattr(node, "workeroutput", {}).get("left", {})


def pytest_terminal_summary(terminalreporter, config):
    """Say what was left out, and how to run it."""
    left = config.stash.get(LEFT, {})
    words = {"cases": "{} more cases of parametrised tests, make test-all runs them",
             "long": "{} tests that take long, make test-all runs them",
             "slow": "{} slow tests, make test-slow runs them"}
    said = [text.format(left[name]) for name, text in words.items() if left.get(name)]
    if said:
        terminalreporter.write_line("left out: " + "; ".join(said))
