"""What became of a network in one run: what could be pruned, what was, accuracy, latency; as JSON and page."""

from mindspore_gs.runs.inspection import Inspection, inspect_graph
from mindspore_gs.runs.page import page
from mindspore_gs.runs.run_record import PAGE, RESULTS, RunRecord, read_document

__all__ = ["PAGE", "RESULTS", "Inspection", "RunRecord", "inspect_graph", "page", "read_document"]
