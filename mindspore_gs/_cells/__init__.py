"""Helpers for networks of MindSpore cells: looking up, replacing, naming, copying. Nothing here knows of pruning."""

from mindspore_gs._cells.code import (
    compared_in_methods,
    compares_sizes,
    hands_itself_on,
    hides_sizes,
    methods_without_self,
    names_in,
    names_in_methods,
    set_in_methods,
    stored_in_methods,
)
from mindspore_gs._cells.compiled import forget_compilation
from mindspore_gs._cells.copies import copy_network
from mindspore_gs._cells.lookup import (
    NORMS,
    as_inputs,
    evaluating,
    every_cell,
    get_cell,
    in_mode,
    keeping_names,
    owners,
    switched,
)
from mindspore_gs._cells.names import (
    constructor_names,
    name_prefix,
    owners_by_name,
    parameters_by_name,
    remember_names,
    restore_names,
)
from mindspore_gs._cells.outputs import tensors_in, wait_for
from mindspore_gs._cells.replace import replace_cell, replace_everywhere
from mindspore_gs._cells.values import remember_values, same_values

__all__ = ["NORMS", "as_inputs", "compared_in_methods", "compares_sizes", "constructor_names", "copy_network",
           "evaluating", "every_cell", "forget_compilation", "get_cell", "hands_itself_on", "in_mode",
           "keeping_names", "hides_sizes", "methods_without_self", "name_prefix", "names_in", "names_in_methods",
           "owners", "owners_by_name", "parameters_by_name", "remember_names", "remember_values", "replace_cell",
           "replace_everywhere", "restore_names", "same_values", "set_in_methods", "stored_in_methods", "switched",
           "tensors_in", "wait_for"]
