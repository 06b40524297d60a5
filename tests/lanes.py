"""Two lanes. ``make test`` takes a few minutes: of a test with many cases a few, and nothing that takes long.

``make test-all`` runs every case, and what takes long, as CI does, but for what is slow. A line at the end says what
was left out.
"""

from collections import Counter, defaultdict

import pytest

# What takes five seconds and more on a quiet machine, by the beginning of its name.
LONG = (
    "tests/examples/test_golden_stick_scop.py::test_a_mistake_is_one_line",
    "tests/pruner/test_knockoff_training.py::test_no_warning_where_scales_move",
    "tests/slim/test_keep_dense.py::test_each_dense_layer_loses_channels_by_itself",
    "tests/test_stateful.py::test_a_choice_that_goes_another_way_is_refused_at_once",
    "tests/test_stateful.py::test_checks_leave_what_a_network_writes_as_it_was",
    "tests/test_stateful.py::test_set_train_may_return_nothing",
    "tests/test_report.py::test_the_report_agrees_with_the_slim_network",
    "tests/analysis/test_iterative.py",
    "tests/analysis/test_sensitivity.py::test_each_point_is_the_accuracy_of_the_slim_network",
    "tests/distill/test_teacher.py::test_outputs_in_dicts_and_lists",
    "tests/distill/test_plain.py", "tests/distill/test_teacher.py::test_model_train_learns_from_the_teacher_alone",
    "tests/export/test_canonical.py", "tests/pruner/test_channel.py::test_one_call_leaves_the_network_as_it_is",
    "tests/pruner/test_channel.py::test_the_policies", "tests/pruner/test_knockoff_loops.py",
    "tests/pruner/test_knockoff_network.py::test_batch_norm_always_on_the_batch_evaluates_as_before",
    "tests/pruner/test_knockoff_network.py::test_model_train_with_callbacks_and_an_odd_last_batch_in_graph_mode",
    "tests/pruner/test_phases.py", "tests/slim/test_slim.py::test_slim_trains_on_as_masked_does",
    "tests/trust/test_fuzz.py", "tests/trust/test_numerics.py",
    "tests/benchmarks/", "tests/distill/test_joint_rd.py::test_dirac_kernels_settle_into_plain_ones",
    "tests/distill/test_joint_rd.py::test_training_reaches_the_student_and_the_connectors_only",
    "tests/distill/test_joint_rd.py::test_the_teacher_takes_its_own_step",
    "tests/distill/test_joint_rd.py::test_blocks_can_be_chosen",
    "tests/examples/test_end_to_end.py", "tests/examples/test_golden_stick_scop.py::test_train_eval_and_train_again",
    "tests/examples/test_mindcv_prune.py::test_the_files_hold_the_small_network",
    "tests/examples/test_mindcv_prune.py::test_accuracy_is_measured_at_each_stage",
    "tests/examples/test_mindcv_prune.py::test_mistakes_are_one_line", "tests/examples/test_resume.py",
    "tests/examples/test_yolo.py::test_every_stage",
    "tests/graph/test_attention.py::test_heads[grouped",
    "tests/graph/test_computed_weights.py::test_the_masked_network_is_the_slim_one_behind_training_and_in_the_file",
    "tests/graph/test_embeddings.py::test_the_masked_network_is_the_slim_one_behind_training_and_in_the_file",
    "tests/masks/test_parents.py::"
    "test_classes_around_layers_of_mindspores_are_masked_beneath_and_train_as_the_small_network_does",
    "tests/masks/test_written.py::test_an_own_norm_is_masked_by_what_nothing_writes_into",
    "tests/graph/test_depthwise_transposed.py::test_groups_keep_the_same_positions",
    "tests/export/test_onnx_zoo.py", "tests/portability/", "tests/pruner/test_channel.py::test_names_never_matter",
    "tests/pruner/test_channel.py::test_three_rounds_and_every_file_reloads",
    "tests/pruner/test_fine_tuning.py",
    "tests/pruner/test_golden_stick.py::test_a_masked_checkpoint_has_the_same_shapes_at_every_rate",
    "tests/pruner/test_widths.py::test_slim_candidates_are_exported_and_run_against_the_dense_network",
    "tests/quantization/test_slb_networks.py", "tests/quantization/test_slb_training.py",
    "tests/slim/test_random_networks.py",
    "tests/slim/test_layer_norms.py::test_masked_slim_and_every_file_are_equal",
    "tests/slim/test_layer_norms.py::test_the_slim_network_trains_on_as_the_masked_one_does",
    "tests/test_docs.py::test_the_code_of_a_page_runs_and_prints_what_it_says",
    "tests/test_exactness.py", "tests/test_real_data.py", "tests/test_recipes.py", "tests/trust/test_processes.py",
    "tests/zoo/test_pruner.py", "tests/zoo/test_zoo.py::test_sample")

# What takes longest of all: CI has twenty minutes on two cores. ``make test-slow`` runs it.
SLOW = (
    "tests/analysis/test_iterative.py::test_a_stopped_run_goes_on_and_its_checkpoint_is_one_of_a_masked_network",
    "tests/analysis/test_sensitivity.py::test_a_file_of_something_else_is_refused",
    "tests/analysis/test_sensitivity.py::test_an_interrupted_run_loses_nothing",
    "tests/benchmarks/test_benchmarks.py::test_all_in_one_file",
    "tests/distill/test_joint_rd.py::test_blocks_can_be_chosen",
    "tests/distill/test_joint_rd.py::test_dirac_kernels_settle_into_plain_ones",
    "tests/distill/test_plain.py::test_everything_is_inner_and_pruned",
    "tests/distill/test_teacher.py::test_a_masked_student_is_converted_saved_and_loaded",
    "tests/examples/test_end_to_end.py", "tests/export/test_canonical.py",
    "tests/test_docs.py::test_the_code_of_a_page_runs_and_prints_what_it_says[sensitivity.md]",
    "tests/test_docs.py::test_the_code_of_a_page_runs_and_prints_what_it_says[training_phases.md]",
    "tests/test_exactness.py::test_the_exact_parameter_count_of_resnet50", "tests/test_recipes.py",
    "tests/trust/test_fuzz.py::test_yaml_that_is_wrong[deep]",
    "tests/benchmarks/test_benchmarks.py::test_inference", "tests/benchmarks/test_benchmarks.py::test_operators",
    "tests/benchmarks/test_benchmarks.py::test_training", "tests/benchmarks/test_performance.py",
    "tests/distill/test_joint_rd.py::test_training_reaches_the_student_and_the_connectors_only",
    "tests/distill/test_joint_rd_modes.py::test_mixed_precision_learns_what_single_precision_does",
    "tests/examples/test_golden_stick_scop.py::test_train_eval_and_train_again",
    "tests/distill/test_plain.py::test_projections_stay_or_go",
    "tests/examples/test_mindcv_prune.py::test_accuracy_is_measured_at_each_stage",
    "tests/examples/test_mindcv_prune.py::test_mistakes_are_one_line",
    "tests/examples/test_mindcv_prune.py::test_the_files_hold_the_small_network",
    "tests/pruner/test_knockoff_network.py::test_model_train_with_callbacks_and_an_odd_last_batch_in_graph_mode",
    "tests/pruner/test_widths.py::test_slim_candidates_are_exported_and_run_against_the_dense_network",
    "tests/pruner/test_channel.py::test_three_rounds_and_every_file_reloads[keep]",
    "tests/pruner/test_channel.py::test_three_rounds_and_every_file_reloads[inner]",
    "tests/slim/test_random_networks.py::test_a_random_network_without_random_channels",
    "tests/test_exactness.py::test_masked_slim_and_reloaded_mindir_are_equal[resnet56-couple-0.45-graph]",
    "tests/test_exactness.py::test_masked_slim_and_reloaded_mindir_are_equal[resnet18-keep-0.7-graph]",
    "tests/trust/test_numerics.py::test_a_repair_with_dead_channels",
    "tests/analysis/test_iterative.py::test_the_target_is_met_and_masked_equals_slim",
    "tests/analysis/test_sensitivity.py::test_each_point_is_the_accuracy_of_the_slim_network",
    "tests/distill/test_joint_rd.py::test_the_teacher_takes_its_own_step",
    "tests/distill/test_plain.py::test_it_trains_like_a_network",
    "tests/distill/test_plain.py::test_the_shortcut_is_gone",
    "tests/pruner/test_golden_stick.py::test_a_masked_checkpoint_has_the_same_shapes_at_every_rate",
    "tests/pruner/test_knockoff_loops.py::test_keywords_and_options",
    "tests/pruner/test_knockoff_loops.py::test_random_numbers_in_the_forward_pass",
    "tests/pruner/test_knockoff_loops.py::test_samples_along_another_axis_of_the_input",
    "tests/pruner/test_knockoff_loops.py::test_two_parts_of_one_network",
    "tests/pruner/test_knockoff_loops.py::test_what_was_compiled_around_it_is_compiled_again",
    "tests/pruner/test_knockoff_loops.py::test_whole_numbers_beside_the_images",
    "tests/pruner/test_phases.py::test_gammas_shrink_together_where_layers_share_channels",
    "tests/pruner/test_phases.py::test_steps_that_python_does_not_see",
    "tests/slim/test_slim.py::test_slim_trains_on_as_masked_does",
    "tests/trust/test_numerics.py::test_a_repair_with_data_that_say_little",
    "tests/zoo/test_pruner.py::test_masked_slim_and_less[mobilenet_v3_small_075-couple-52]",
    "tests/zoo/test_pruner.py::test_masked_slim_and_less[seresnet18-keep-16]",
    "tests/zoo/test_zoo.py::test_sample[ghostnet_050]", "tests/zoo/test_zoo.py::test_sample[mobilenet_v2_035_128]")
# Of a test with many cases MOST, spread from the first to the last, are run, and of one that takes long OF_LONG; the
# others are slow, too. The tests whose cases take no time are run whole.
MOST = 1
OF_LONG = 1
WHOLE = (
    "tests/cli/", "tests/examples/test_config.py", "tests/portability/test_documented.py",
    "tests/pruner/test_options.py", "tests/pruner/test_selection.py", "tests/quantization/test_storage.py",
    "tests/test_checkpoint.py", "tests/test_docs.py", "tests/test_lanes.py", "tests/test_pages.py",
    "tests/test_reference.py", "tests/trust/test_bad_calls.py", "tests/trust/test_bad_input.py",
    "tests/trust/test_damaged_files.py", "tests/trust/test_fuzz.py", "tests/trust/test_places.py")


def pytest_addoption(parser):
    """The option ``--cases``."""
    parser.addoption("--cases", type=int, default=0, metavar="N",
                     help="run at most N cases of each parametrised test, from the first to the last; 0: all of them")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark what takes long, leave out cases beyond ``--cases``, and begin with the files of what takes long.

    Of two processes, one would otherwise run a last long file while the other has nothing left to do.
    """
    many = [item.nodeid for item in items if not item.nodeid.startswith(WHOLE)]
    beyond = surplus(many, MOST) | surplus([name for name in many if name.startswith(LONG)], OF_LONG)
    for item in items:
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.long)
        if item.nodeid.startswith(SLOW) or item.nodeid in beyond:
            item.add_marker(pytest.mark.slow)
    without = {name for name in ("long", "slow") if f"not {name}" in config.option.markexpr}
    left = Counter(name for item in items for name in without if item.get_closest_marker(name))
    rest = surplus([item.nodeid for item in items], config.option.cases)
    left["cases"] = len(rest)
    config.stash[LEFT] = dict(left)
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in rest])
    items[:] = [item for item in items if item.nodeid not in rest]
    files = {file_of(item) for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: file_of(item) not in files)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left"] = dict(left)


LEFT = pytest.StashKey()


def file_of(item):
    """The file of a test."""
    return item.nodeid.partition("::")[0]


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
