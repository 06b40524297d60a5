"""What else a user may get wrong: files, data, graphs, plans, criteria, masks. One error, and nothing is touched."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, export_mindir, export_onnx, load_pruned, load_quantized, prune, save_pruned
from mindspore_gs import save_quantized as save_slb
from mindspore_gs.errors import CheckpointError, PlanError, PruningError
from mindspore_gs.graph import trace, verify
from mindspore_gs.int8 import quantize_onnx
from mindspore_gs.masks import Masks, masked_groups
from mindspore_gs.pruner.compensation import compensate
from mindspore_gs.pruner.criteria import CRITERIA, combine, criterion, evidence_needed, is_greedy
from mindspore_gs.pruner.evidence import observe
from mindspore_gs.runs import RunRecord, page, read_document
from mindspore_gs.slim import PrunePlan, RestoreChannels, carry_moments, fold_batch_norm, slim
from mindspore_gs.summaries import SummaryCallback, SummaryWriter, write_summaries
from tests.trust.test_bad_input import SHAPE, batch, files, plain, refused  # noqa: F401

INPUT = "an input of the network must be a tensor, an array or a shape such as (1, 3, 32, 32), but got "
SIZES = ("the sizes of an input's shape must be positive, such as (1, 3, 32, 32), and no more than 2,147,483,648 "
         "numbers in all, but got ")
NO_CELL = "a network must be a mindspore.nn.Cell, but got 'str'."
NAN = " found NaN among the network's inputs in batch 2; leave these samples out."
MADE_BY = ("SequentialCell was not made by this plan, which leaves 2 positions on axis 0 of '0.weight', whose shape is "
           "(4, 1, 1, 1).")
GIVE = "It takes data: a mindspore.dataset, or a list of batches, where a batch is a tensor or a tuple of the " \
       "network's inputs and the label."


def text(owner, name):
    return f"for {owner}, {name!r} must be a path, text or os.PathLike, but got "


def labelled(*values):
    return [(ms.ops.ones((2, *SHAPE[1:])) * value, ms.Tensor([0, 0], ms.int32)) for value in values]


def two(x, y):
    return x


def graph_of(net):
    return trace(net, SHAPE)


def momentum(net):
    return nn.Momentum(net.trainable_params(), 0.1, 0.9)


def pruner(**options):
    return ChannelPruner(prune_rate=0.5, input_shape=SHAPE, **options)


EXPORTS = {f"{name}: {what}": (lambda f, n, export=export, given=given: export(n["slim"], *given(f)), error,
                               message.replace("EXPORT", name))
           for name, export in (("export_mindir", export_mindir), ("export_onnx", export_onnx))
           for what, given, error, message in (
               ("inputs None", lambda f: (None, f / "x"), TypeError, INPUT + "None."),
               ("inputs text", lambda f: ("1,1,4,4", f / "x"), TypeError, INPUT + "'1,1,4,4'."),
               ("inputs empty", lambda f: ([], f / "x"), TypeError, INPUT + "[]."),
               ("name None", lambda f: (SHAPE, None), TypeError, text("EXPORT()", "file_name") + "'NoneType'."),
               ("name bytes", lambda f: (SHAPE, b"x"), TypeError, text("EXPORT()", "file_name") + "'bytes'."),
               ("name empty", lambda f: (SHAPE, " "), ValueError,
                "for EXPORT(), 'file_name' must be the path of a file, but got ' '."))}
CASES = EXPORTS | {
    "onnx: fold": (lambda f, n: export_onnx(n["slim"], SHAPE, f / "x", fold_batch_norm=1), TypeError,
                   "For 'export_onnx', the 'fold_batch_norm' must be 'bool',  but got 'int'."),
    "onnx: open": (lambda f, n: export_onnx(n["slim"], SHAPE, f / "x", open_batch="no"), TypeError,
                   "For 'export_onnx', the 'open_batch' must be 'bool',  but got 'str'."),
    "int8: no file": (lambda f, n: quantize_onnx(None, [batch(1)], f / "x"), TypeError,
                      text("quantize_onnx()", "file") + "'NoneType'."),
    "int8: no name": (lambda f, n: quantize_onnx(f / "x.onnx", [batch(1)], None), TypeError,
                      text("quantize_onnx()", "file_name") + "'NoneType'."),
    "int8: no data": (lambda f, n: quantize_onnx(f / "x.onnx", None, f / "x"), TypeError,
                      f"quantize_onnx() got a 'NoneType'. {GIVE}"),
    "load_pruned: arguments": (lambda f, n: load_pruned(two, f / "slim.ckpt"), TypeError,
                               "load_pruned() takes a function that builds the original network, such as 'lambda: "
                               "resnet20()', but 'two' cannot be called without arguments: missing a required "
                               "argument: 'x'. Give 'lambda: two(...)'."),
    "load_quantized: arguments": (lambda f, n: load_quantized(nn.Dense, f / "slim.ckpt"), TypeError,
                                  "load_quantized() takes a function that builds the float network, such as 'lambda: "
                                  "resnet20()', but 'Dense' cannot be called without arguments: missing a required "
                                  "argument: 'in_channels'. Give 'lambda: Dense(...)'."),
    "load_quantized: None": (lambda f, n: load_quantized(plain, None), TypeError,
                             text("load_quantized()", "path") + "'NoneType'."),
    "save_quantized: None": (lambda f, n: save_slb(n["dense"], None), TypeError,
                             text("save_quantized()", "path") + "'NoneType'."),
    "save_pruned: other plan": (lambda f, n: save_pruned(n["dense"], f / "x", n["slim"].prune_plan), CheckpointError,
                                f"{MADE_BY} Save the network that slim() or convert() returned, with its own plan."),
    "slim: check": (lambda f, n: slim(n["dense"], n["slim"].prune_plan, check=5), TypeError,
                    "For 'slim', the 'check' must be 'bool',  but got 'int'."),
    "fold: text": (lambda f, n: fold_batch_norm(n["slim"], SHAPE, gather_macs="x"), TypeError,
                   "for fold_batch_norm(), 'gather_macs' must be a number or None, but got 'x'."),
    "fold: -1": (lambda f, n: fold_batch_norm(n["slim"], SHAPE, gather_macs=-1), ValueError,
                 "for fold_batch_norm(), 'gather_macs' must be at least 0 and finite, but got -1."),
    "moments: None": (lambda f, n: carry_moments(None, None, n["masked"], n["slim"], n["slim"].prune_plan), TypeError,
                      "for carry_moments(), 'old' must be a Optimizer, but got 'NoneType'."),
    "moments: swapped": (lambda f, n: carry_moments(momentum(n["slim"]), momentum(n["masked"]), n["slim"], n["dense"],
                                                    n["slim"].prune_plan), PlanError, MADE_BY),
    "trace: None": (lambda f, n: trace(n["dense"], None), TypeError, INPUT + "None."),
    "trace: 0": (lambda f, n: trace(n["dense"], (1, 0, 4, 4)), ValueError, SIZES + "(1, 0, 4, 4)."),
    "trace: 10^12": (lambda f, n: trace(n["dense"], (10 ** 12, 1, 4, 4)), ValueError,
                     SIZES + "(1000000000000, 1, 4, 4)."),
    "trace: ragged": (lambda f, n: trace(n["dense"], [[1.0], [1.0, 2.0]]), TypeError, INPUT + "[[1.0], [1.0, 2.0]]."),
    "verify: text": (lambda f, n: verify("x"), TypeError,
                     "verify() takes the graph of a ChannelGraph, its attribute 'graph', but got 'str'."),
    "plan: text": (lambda f, n: pruner().plan("x"), TypeError,
                   "For 'ChannelPruner', the 'network' must be 'Cell', but got 'str'."),
    "prepare: text": (lambda f, n: pruner().prepare("x"), TypeError,
                      "For 'ChannelPruner', the 'network' must be 'Cell', but got 'str'."),
    "prune: twice": (lambda f, n: prune(n["dense"], inputs=SHAPE, input_shape=SHAPE), TypeError,
                     "prune() calls 'input_shape' 'inputs'; give it by that name."),
    "target: engine": (lambda f, n: ChannelPruner(target={"latency": 0.5, "engine": []}), ValueError,
                       "For 'ChannelPruner', the 'target['engine']' must be one of ('mindspore', 'onnxruntime', "
                       "'lite') or a function that takes the path of an ONNX file and returns seconds, but got []."),
    "taylor: NaN": (lambda f, n: pruner(criterion="taylor", data=labelled(1, np.nan), loss_fn=two).apply(n["dense"]),
                    PruningError, "observe()" + NAN),
    "error: NaN": (lambda f, n: prune(n["dense"], scope="error", data=labelled(1, np.nan), inputs=SHAPE), PruningError,
                   "scope='error'" + NAN),
    "repair: NaN": (lambda f, n: compensate(n["masked"], labelled(1, np.nan)), PruningError, "compensate()" + NAN),
    "repair: knockoffs": (lambda f, n: compensate(n["knockoff"], labelled(1)), PruningError,
                          "SequentialCell has no masked layers to repair; call apply() of ChannelPruner, or of "
                          "PrunerFtCompressAlgo behind the knockoff phase, first."),
    "repair: seed": (lambda f, n: compensate(n["masked"], labelled(1), seed=-1), ValueError,
                     "For 'compensate', the 'seed' must be at least 0, but got -1."),
    "data: text": (lambda f, n: pruner(criterion="apoz", data=[np.array(["a"])]).apply(n["dense"]), TypeError,
                   f"observe() found an array that holds no numbers in a batch. {GIVE}"),
    "observe: graph": (lambda f, n: observe(n["dense"], "x", (), labelled(1)), TypeError,
                       "observe() takes the channel graph that trace() returns, but got 'str'."),
    "observe: groups": (lambda f, n: observe(n["dense"], graph_of(n["dense"]), "x", labelled(1)), TypeError,
                        "observe() takes a list of groups of the channel graph, but got 'x'."),
    "observe: another network": (lambda f, n: observe(nn.ReLU(), graph_of(n["dense"]), graph_of(n["dense"]).groups(),
                                                      labelled(1)), PruningError,
                                 "observe(): ReLU has no parameter '0.weight', which the channel graph names; trace "
                                 "this network."),
    "observe: kinds": (lambda f, n: observe(n["dense"], graph_of(n["dense"]), (), labelled(1), kinds=5), TypeError,
                       "observe(): a kind of evidence is text, and several are a tuple of texts, but got 5."),
    "masks: text": (lambda f, n: Masks("x"), TypeError, NO_CELL),
    "masked_groups: text": (lambda f, n: masked_groups("x"), TypeError, NO_CELL),
    "masks: none": (lambda f, n: Masks(n["knockoff"]).read(), PruningError,
                    "SequentialCell has no masks yet; Masks.attach() puts them on."),
    "masks: graph": (lambda f, n: Masks.attach(n["dense"], "x", ()), TypeError,
                     "Masks.attach() takes a channel graph and groups of it, as trace() gives, but got 'str' and ()."),
    "criterion: number": (lambda f, n: criterion(5), TypeError,
                          "criterion() takes the criterion's name first, as in @criterion('mine'), but got 'int'."),
    "criterion: empty": (lambda f, n: criterion(""), ValueError,
                         "For criterion(), 'name' should be Non-empty string but got ."),
    "criterion: greedy": (lambda f, n: criterion("new", greedy="yes"), TypeError,
                          "For 'criterion', the 'greedy' must be 'bool',  but got 'str'."),
    "criterion: no function": (lambda f, n: criterion("new")(5), TypeError,
                               "criterion('new') must stand above a function that scores channels, but got 'int'."),
    "evidence_needed: unknown": (lambda f, n: evidence_needed("new"), ValueError,
                                 f"there is no criterion 'new'; there are {', '.join(CRITERIA)}."),
    "is_greedy: number": (lambda f, n: is_greedy(5), TypeError,
                          "a criterion is a name or a function of channels, but got 'int'."),
    "combine: none": (lambda f, n: combine([]), ValueError,
                      "combine() takes at least one array of scores, all of one shape, but got the shapes []."),
    "combine: shapes": (lambda f, n: combine([np.ones(2), np.ones(3)]), ValueError,
                        "combine() takes at least one array of scores, all of one shape, but got the shapes [(2,), "
                        "(3,)]."),
    "PrunePlan: number": (lambda f, n: PrunePlan(keeps=5), TypeError,
                          "For 'PrunePlan', the 'keeps' must be a tuple of Keep, but got 5."),
    "PrunePlan: text": (lambda f, n: PrunePlan(restores=("x",)), TypeError,
                        "For 'PrunePlan', the 'restores' must be a tuple of Restore, but got ('x',)."),
    "then: None": (lambda f, n: PrunePlan().then(None), TypeError,
                   "PrunePlan.then() takes a PrunePlan, but got 'NoneType'."),
    "since: text": (lambda f, n: PrunePlan().since("x"), TypeError,
                    "PrunePlan.since() takes a PrunePlan, but got 'str'."),
    "restore: negative": (lambda f, n: RestoreChannels(4, (-1, 0)), ValueError,
                          "For 'RestoreChannels', the 'indices' must ascend from 0 to 3 at most, and be at least one, "
                          "but got (-1, 0)."),
    "restore: none": (lambda f, n: RestoreChannels(4, ()), ValueError,
                      "For 'RestoreChannels', the 'indices' must ascend from 0 to 3 at most, and be at least one, but "
                      "got ()."),
    "restore: size": (lambda f, n: RestoreChannels("4", (0,)), TypeError,
                      "For 'RestoreChannels', the 'size' must be 'int',  but got 'str'."),
    "page: None": (lambda f, n: page(None), TypeError,
                   "page() takes the document of a run, a dict such as RunRecord.document() and read_document() give, "
                   "but got 'NoneType'."),
    "page: empty": (lambda f, n: page({}), PruningError, "the document for page() is damaged: its 'network' is not as "
                                                         "'mindspore-gs prune' writes it."),
    "read_document: None": (lambda f, n: read_document(None), TypeError, text("read_document()", "path") +
                            "'NoneType'."),
    "summaries: empty": (lambda f, n: write_summaries({}, f / "x"), PruningError,
                         "the document for write_summaries() is damaged: its 'network' is not as 'mindspore-gs prune' "
                         "writes it."),
    "SummaryWriter: a file": (lambda f, n: SummaryWriter(f / "slim.ckpt"), ValueError,
                              "for SummaryWriter, 'folder' must be the path of a folder, but FOLDER/slim.ckpt is a "
                              "file."),
    "SummaryCallback: None": (lambda f, n: SummaryCallback(None), TypeError,
                              text("SummaryCallback", "folder") + "'NoneType'."),
    "SummaryCallback: every": (lambda f, n: SummaryCallback("x", every=1.5), TypeError,
                               "For 'SummaryCallback', the 'every' must be 'int',  but got 'float'."),
    "RunRecord: a file": (lambda f, n: RunRecord.of(n["dense"], n["slim"], SHAPE).write(f / "slim.ckpt"), ValueError,
                          "for RunRecord.write(), 'folder' must be the path of a folder, but FOLDER/slim.ckpt is a "
                          "file."),
}


@pytest.mark.parametrize(("call", "error", "message"), CASES.values(), ids=CASES)
def test_a_call(call, error, message, files):  # noqa: F811
    refused(call, error, message, files)
