"""The bug zoo: faults that public re-implementations of GRU4Rec had. Each can be switched on.

``with planted("late-reset"): ...`` puts a fault into the package and removes it afterwards. The package itself has no
code for this: each fault is a wrong version of one of its functions, made from the correct one.

>>> from rnnbook import bugs, metrics
>>> with bugs.planted("rank-below-k"):
...     print(metrics.gains([19, 20, 21], k=20)["recall"])
[1. 0. 0.]
>>> metrics.gains([19, 20, 21], k=20)["recall"]
array([1., 1., 0.])
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal
from unittest import mock

import numpy as np
import torch
from torch.nn import functional as F

from rnnbook import gru4rec, metrics, training

# --- The state --------------------------------------------------------------------------------------------
# Each function below takes the correct function and returns the wrong version of it.


def late_reset(steps):
    """The rows of new sessions are zeroed one step late, so a session starts from another session's state.

    Examples
    --------
    >>> # one lane: the second session follows the first
    >>> schedule = gru4rec.session_parallel(np.array([0, 2, 4]), batch_size=1)
    >>> [reset.tolist() for _, reset, _ in schedule.steps("cpu")]
    [[True], [True]]
    >>> [reset.tolist() for _, reset, _ in late_reset(gru4rec.Schedule.steps)(schedule, "cpu")]
    [[False], [True]]
    """
    def faulty(schedule, device):
        last = None
        for position, reset, live in steps(schedule, device):
            late = torch.zeros_like(reset) if last is None else last if live is None else last[live]
            yield position, late, live
            last = reset
    return faulty


def kept_mask(steps):
    """The reset mask is updated only when a session ends. Until then, the same rows are zeroed again at every step.

    Examples
    --------
    >>> # the second session has two steps
    >>> schedule = gru4rec.session_parallel(np.array([0, 2, 5]), batch_size=1)
    >>> [reset.tolist() for _, reset, _ in schedule.steps("cpu")]
    [[True], [True], [False]]
    >>> [reset.tolist() for _, reset, _ in kept_mask(gru4rec.Schedule.steps)(schedule, "cpu")]
    [[False], [True], [True]]
    """
    def faulty(schedule, device):
        mask = None
        for position, reset, live in steps(schedule, device):
            if mask is None:
                mask = torch.zeros_like(reset)  # at the first step all rows are zeros anyway
            elif reset.any():
                mask = reset
            elif live is not None:
                mask = mask[live]
            yield position, mask, live
    return faulty


def never_reset(carry_state):
    """No row is ever zeroed: each session starts from the last state of the previous session in its lane.

    Examples
    --------
    >>> state, reset = [torch.tensor([[0.5], [0.7]])], torch.tensor([True, False])
    >>> gru4rec.carry_state(state, reset, None), never_reset(gru4rec.carry_state)(state, reset, None)
    ([tensor([[0.0000],
            [0.7000]])], [tensor([[0.5000],
            [0.7000]])])
    """
    def faulty(state, reset, live):
        return carry_state(state, torch.zeros_like(reset), live)
    return faulty


def no_reset_in_evaluation(carry_state):
    """The training loop zeroes the rows of new sessions; the evaluation loop, which has no gradients, does not.

    Examples
    --------
    >>> state, reset = [torch.tensor([[0.5]])], torch.tensor([True])
    >>> faulty = no_reset_in_evaluation(gru4rec.carry_state)
    >>> faulty(state, reset, None)
    [tensor([[0.]])]
    >>> with torch.no_grad():
    ...     faulty(state, reset, None)
    [tensor([[0.5000]])]
    """
    def faulty(state, reset, live):
        return carry_state(state, reset & torch.is_grad_enabled(), live)
    return faulty


def lost_state(carry_state):
    """The new state is assigned to a misspelt variable, so each step starts from zeros.

    Examples
    --------
    >>> state, reset = [torch.tensor([[0.5], [0.7]])], torch.tensor([True, False])
    >>> lost_state(gru4rec.carry_state)(state, reset, None)
    [tensor([[0.],
            [0.]])]
    """
    def faulty(state, reset, live):
        return carry_state(state, torch.ones_like(reset), live)
    return faulty


# --- The loss ---------------------------------------------------------------------------------------------


def sigma_for_log_sigma(bpr):
    """BPR without its logarithm.

    Examples
    --------
    The wrong loss is never above 0. It is flat if the target's score is far too low, so it has almost no gradient.

    >>> scores, negative = torch.tensor([[-9.0, 0.0]]), torch.tensor([[False, True]])
    >>> gru4rec.bpr(scores, negative), sigma_for_log_sigma(gru4rec.bpr)(scores, negative)
    (tensor([9.0001]), tensor([-0.0001]))
    """
    def faulty(scores, negative):
        margin = scores.diagonal()[:, None] - scores
        return gru4rec.mean_over_negatives(-torch.sigmoid(margin), negative)
    return faulty


def log_of_batch_mean(bpr_max):
    """BPR-max with the logarithm outside the mean over the batch, and without the regularisation.

    Examples
    --------
    One row ranks its target correctly, the other does not. The correct mean of the logarithms weights the wrong row
    more.

    >>> scores, negative = torch.tensor([[9.0, 0.0], [9.0, 0.0]]), ~torch.eye(2, dtype=torch.bool)
    >>> right, wrong = gru4rec.bpr_max, log_of_batch_mean(gru4rec.bpr_max)
    >>> right(scores, negative, 0.0).round(decimals=3), wrong(scores, negative, 0.0)
    (tensor([0., 9.]), tensor([0.6931, 0.6931]))
    """
    def faulty(scores, negative, regularization=1.0):
        rows = (-bpr_max(scores, negative, 0.0)).exp()  # Σ_j s_j σ(r̂_i − r̂_j) of each row
        return -rows.mean().log().expand(len(rows))
    return faulty


def target_among_negatives(bpr_max):
    """BPR-max with its softmax over all columns, including the target's own.

    Examples
    --------
    The target has by far the highest score. As its own negative, it is compared with itself: σ(0) = 1/2.

    >>> scores, negative = torch.tensor([[99.0, 0.0]]), torch.tensor([[False, True]])
    >>> target_among_negatives(gru4rec.bpr_max)(scores, negative, 0.0)  # log 2 instead of about 0
    tensor([0.6931])
    """
    def faulty(scores, negative, regularization=1.0):
        return bpr_max(scores, torch.ones_like(negative), regularization)
    return faulty


def softmax_twice(cross_entropy):
    """The network ends in a softmax, and the library's cross-entropy applies a second one.

    Examples
    --------
    After the first softmax all scores are in [0, 1]. So the loss is at least log(1 + 1/e), even for a perfect target.

    >>> scores, negative = torch.tensor([[99.0, 0.0]]), torch.tensor([[False, True]])
    >>> right, wrong = gru4rec.cross_entropy, softmax_twice(gru4rec.cross_entropy)
    >>> right(scores, negative).item() < 1e-6, wrong(scores, negative)
    (True, tensor([0.3133]))
    """
    def faulty(scores, negative):
        return cross_entropy(scores.softmax(dim=1), negative)
    return faulty


# --- The network and its optimiser ------------------------------------------------------------------------


def tied_tables(input_table):
    """The network reads the output table, although its settings say ``input="separate"``.

    Examples
    --------
    >>> model = gru4rec.GRU4Rec([3, 7], gru4rec.GRU4RecConfig(input="separate"))
    >>> model.input_table
    'input'
    >>> with planted("tied-tables"):
    ...     model.input_table
    'output'
    """
    return property(lambda model: "output")


def dropout_nowhere(step):
    """``nn.GRU(dropout=p)`` applies dropout only *between* its layers, so one layer has none.

    Examples
    --------
    >>> config = gru4rec.GRU4RecConfig(hidden_size=100, hidden_dropout=0.9)
    >>> model = gru4rec.GRU4Rec([3, 7], config).train()
    >>> x, state = torch.ones(1, 100), model.initial_state(1)
    >>> (model.step(x, state)[0] == 0).sum().item() > 50
    True
    >>> with planted("dropout-nowhere"):
    ...     (model.step(x, state)[0] == 0).sum().item()
    0
    """
    def faulty(model, x, state):
        new: list[torch.Tensor] = []
        for layer, h in zip(model.layers, state):
            x = layer(F.dropout(x, model.config.hidden_dropout, model.training and bool(new)), h)
            new.append(x)
        return new
    return faulty


def keep_for_drop(step):
    """The library expects the probability to *keep* a unit, but gets the probability to drop it.

    Examples
    --------
    >>> config = gru4rec.GRU4RecConfig(hidden_size=100, hidden_dropout=0.0)
    >>> model = gru4rec.GRU4Rec([3, 7], config).train()
    >>> x, state = torch.ones(1, 100), model.initial_state(1)
    >>> with planted("keep-for-drop"):
    ...     (model.step(x, state)[0] == 0).sum().item()  # all units are dropped; none should be
    100
    """
    def faulty(model, x, state):
        new = []
        for layer, h in zip(model.layers, state):
            x = F.dropout(layer(x, h), 1 - model.config.hidden_dropout, model.training)
            new.append(x)
        return new
    return faulty


def full_accumulator(init):
    """Adagrad's sums of squares start at a library's default of 0.1, which is larger than what most gradients add.

    Examples
    --------
    The first gradient should move its weight by the learning rate, which is 1 here, whatever the gradient is.

    >>> def step():
    ...     optimizer = training.Adagrad({"w": torch.zeros(1)}, lr=1.0)
    ...     optimizer.step("w", torch.tensor([0.01]))
    ...     return round(optimizer.parameters["w"].item(), 2)
    >>> step()
    -1.0
    >>> with planted("full-accumulator"):
    ...     step()
    -0.03
    """
    def faulty(optimizer, parameters, lr, momentum=0.0):
        init(optimizer, parameters, lr, momentum)
        for acc in optimizer.acc.values():
            acc.fill_(0.1)
    return faulty


# --- The evaluation ---------------------------------------------------------------------------------------


def ties_for_the_model(doubled_ranks):
    """Only scores *above* the target count against it, so a model that gives all items one score is always right.

    Examples
    --------
    >>> alike = torch.zeros(1, 1000)
    >>> metrics.ranks(alike, torch.tensor([17]))
    tensor([1000.], dtype=torch.float64)
    >>> with planted("ties-for-the-model"):
    ...     metrics.ranks(alike, torch.tensor([17]))
    tensor([1.], dtype=torch.float64)
    """
    def faulty(scores, targets, ties):
        return doubled_ranks(scores, targets, "standard")
    return faulty


def hundred_negatives(doubled_ranks):
    """The target is ranked among itself and 100 items drawn at random.

    Examples
    --------
    Rank 1001 of 10,001 becomes a rank of about 11.

    >>> scores = torch.arange(10_001.0)[None]
    >>> metrics.ranks(scores, torch.tensor([9000])).item()
    1001.0
    >>> with planted("hundred-negatives"):
    ...     metrics.ranks(scores, torch.tensor([9000])).item() < 25
    True
    """
    def faulty(scores, targets, ties):
        drawn = torch.randint(scores.shape[1], (len(scores), 100), generator=torch.Generator().manual_seed(0))
        few = scores.gather(1, torch.cat([targets[:, None], drawn.to(targets.device)], dim=1))
        return doubled_ranks(few, torch.zeros_like(targets), ties)
    return faulty


def rank_below_k(gains):
    """``rank < k`` instead of ``rank <= k``: Recall@19 is reported as Recall@20.

    Examples
    --------
    >>> rank_below_k(metrics.gains)([19, 20, 21], k=20)["recall"].tolist()
    [1.0, 0.0, 0.0]
    """
    def faulty(ranks, k):
        return gains(ranks, k - 1)
    return faulty


def first_lane_ends_it(evaluate):
    """The loop ends as soon as a lane finds no next session, so the rest of the other lanes' sessions is not scored.

    Examples
    --------
    The two sessions have 3 predictions and 1. With two lanes the loop ends after the first step.

    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 1, 2, 2], "item": list("abaaba"),
    ...                        "time": range(6)})
    >>> data = SessionData.from_frame(clicks)
    >>> model = Popularity().fit(data)  # always predicts a: right in three of four predictions
    >>> metrics.evaluate_sessions(model, data, k=1).recall
    0.75
    >>> with planted("first-lane-ends-it"):
    ...     metrics.evaluate_sessions(model, data, k=1, batch_size=2).recall
    0.5
    """
    def faulty(model, data, k=20, *, batch_size=512, **options):
        scores = evaluate(model, data, k, batch_size=batch_size, **options)
        return _weighted(scores, _rows_in_its_batch(data, batch_size) == min(batch_size, scores.n_sessions))
    return faulty


def mean_of_means(evaluate):
    """All batch means have equal weight, even that of a batch with only the last long session.

    Examples
    --------
    The sessions of the example above. The three steps have 2, 1 and 1 predictions, and the means 1/2, 1 and 1.

    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 1, 2, 2], "item": list("abaaba"),
    ...                        "time": range(6)})
    >>> data = SessionData.from_frame(clicks)
    >>> model = Popularity().fit(data)
    >>> with planted("mean-of-means"):
    ...     round(metrics.evaluate_sessions(model, data, k=1, batch_size=2).recall, 4)
    0.8333
    """
    def faulty(model, data, k=20, *, batch_size=512, **options):
        scores = evaluate(model, data, k, batch_size=batch_size, **options)
        return _weighted(scores, 1 / _rows_in_its_batch(data, batch_size))
    return faulty


def whole_history(evaluate):
    """Every prefix is scored at all of its steps, not only at the last one. So early clicks are counted repeatedly.

    Examples
    --------
    The first of three predictions is counted three times, the second twice.

    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> data = SessionData.from_frame(pd.DataFrame({"session": 1, "item": list("abaa"),
    ...                                             "time": range(4)}))
    >>> model = Popularity().fit(data)  # always predicts a: wrong, right, right
    >>> with planted("whole-history"):
    ...     # (3 · 0 + 2 · 1 + 1 · 1) / 6 instead of 2/3
    ...     metrics.evaluate_sessions(model, data, k=1).recall
    0.5
    """
    def faulty(model, data, k=20, **options):
        scores = evaluate(model, data, k, **options)
        positions, sessions = metrics.target_positions(data)
        return _weighted(scores, data.offsets[sessions + 1] - positions)  # the number of prefixes with this click
    return faulty


def _weighted(scores, weights):
    """SessionScores with weighted means, weights [n_predictions]; the intervals are not changed."""
    earned = metrics.gains(scores.ranks, scores.k)
    return replace(scores, **{name: float(np.average(earned[name], weights=weights)) for name in metrics.METRICS})


def _rows_in_its_batch(data, batch_size):
    """The number of rows in the session-parallel step of each prediction, in the order of ``data.items``: int64 [n]."""
    schedule = gru4rec.session_parallel(data.offsets, batch_size)
    sizes = np.diff(schedule.offsets)
    return np.repeat(sizes, sizes)[np.argsort(schedule.position)]


# --- The zoo ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bug:
    """A fault: the function that it replaces, where it acts, and where it was found.

    Examples
    --------
    >>> bug = BUGS["rank-below-k"]
    >>> bug.acts, bug.caught_by
    ('evaluation', 'test_metrics.py::test_gains_by_hand')
    """

    wrong: Callable  # takes the correct function (for tied_tables: the property) and returns the wrong version
    place: tuple[Any, str]  # the module, class or dict that has the correct one, and its name there
    acts: Literal["training", "evaluation", "both"]
    found: str  # where it is documented, as Markdown
    caught_by: str  # the test that fails with this fault


GITHUB, ARXIV = "https://github.com", "https://arxiv.org/abs"
AUTHORS = f"{GITHUB}/hidasib/gru4rec_third_party_comparison/blob/gh-pages/_sources/exp_impl"
PYTORCH = f"{GITHUB}/hungpthanh/GRU4REC-pytorch"
TENSORFLOW = f"{GITHUB}/Songweiping/GRU4Rec_TensorFlow"
ON_PYTORCH = f"[authors' notes on GRU4REC-pytorch]({AUTHORS}/gru4rec_pytorch/gru4rec_pytorch_main.rst)"
LOSSFUNCTION = f"[GRU4REC-pytorch, lossfunction.py]({PYTORCH}/blob/master/lib/lossfunction.py)"
EVALUATION = f"[GRU4Rec_TensorFlow, evaluation.py]({TENSORFLOW}/blob/master/gru4rec_BP/evaluation.py)"
TORCH = f"[Torch-GRU4Rec, Evaluation.py]({GITHUB}/yeganegi-reza/Torch-GRU4Rec/blob/master/Modules/Evaluation.py)"
EFFECT = f"[Hidasi and Czapp 2023a]({ARXIV}/2307.14956)"
FLAWS = f"[Hidasi and Czapp 2023b]({ARXIV}/2307.14951)"
ON_TENSORFLOW = f"[authors' notes on GRU4Rec_TensorFlow]({AUTHORS}/gru4rec_tensorflow/gru4rec_tensorflow_main.rst)"

STEPS, CARRY = (gru4rec.Schedule, "steps"), (gru4rec, "carry_state")
STEP = (gru4rec.GRU4Rec, "step")
RANKS, EVALUATE = (metrics, "doubled_ranks"), (metrics, "evaluate_sessions")

DENSE = "test_gru4rec.py::test_training_steps_equal_dense_autograd"
LOSS = "test_gru4rec.py::test_loss_and_gradient_are_the_papers"
DROPOUT = "test_gru4rec.py::test_dropout_drops_its_share_in_training_only"

BUGS = {
    "late-reset": Bug(
        late_reset, STEPS, "both", f"[KerasGRU4Rec, issue 1]({GITHUB}/paxcema/KerasGRU4Rec/issues/1)", DENSE),
    "kept-mask": Bug(kept_mask, STEPS, "both", ON_PYTORCH, DENSE),
    "never-reset": Bug(never_reset, CARRY, "both", EFFECT, DENSE),
    "no-reset-in-evaluation": Bug(
        no_reset_in_evaluation, CARRY, "evaluation", f"[GRU4REC-pytorch, issue 7]({PYTORCH}/issues/7)",
        "test_gru4rec.py::TestGRU4RecIsARecommender::test_other_sessions_do_not_leak"),
    "lost-state": Bug(lost_state, CARRY, "both", f"[GRU4REC-pytorch, issue 1]({PYTORCH}/issues/1)", DENSE),
    "sigma-for-log-sigma": Bug(
        sigma_for_log_sigma, (gru4rec.LOSSES, "bpr"), "training", EFFECT, LOSS),
    "log-of-batch-mean": Bug(log_of_batch_mean, (gru4rec, "bpr_max"), "training", LOSSFUNCTION, DENSE),
    "target-among-negatives": Bug(target_among_negatives, (gru4rec, "bpr_max"), "training", LOSSFUNCTION, DENSE),
    "softmax-twice": Bug(softmax_twice, (gru4rec.LOSSES, "cross-entropy"), "training", ON_PYTORCH, LOSS),
    "tied-tables": Bug(
        tied_tables, (gru4rec.GRU4Rec, "input_table"), "both",
        f"[ReChorus, issue 27]({GITHUB}/THUwangcy/ReChorus/issues/27)",
        "test_gru4rec.py::test_separate_tables_learn_apart"),
    "dropout-nowhere": Bug(dropout_nowhere, STEP, "training", ON_PYTORCH, DROPOUT),
    "keep-for-drop": Bug(keep_for_drop, STEP, "training", ON_TENSORFLOW, DROPOUT),
    "full-accumulator": Bug(full_accumulator, (training.Adagrad, "__init__"), "training", ON_TENSORFLOW, DENSE),
    "ties-for-the-model": Bug(
        ties_for_the_model, RANKS, "evaluation", EVALUATION, "test_metrics.py::test_ranks_by_hand"),
    "rank-below-k": Bug(
        rank_below_k, (metrics, "gains"), "evaluation", EVALUATION, "test_metrics.py::test_gains_by_hand"),
    "first-lane-ends-it": Bug(
        first_lane_ends_it, EVALUATE, "evaluation",
        f"[GRU4REC-pytorch, dataset.py]({PYTORCH}/blob/master/lib/dataset.py)",
        "test_metrics.py::test_batch_size_does_not_matter"),
    "mean-of-means": Bug(
        mean_of_means, EVALUATE, "evaluation", TORCH, "test_metrics.py::test_batch_size_does_not_matter"),
    "hundred-negatives": Bug(
        hundred_negatives, RANKS, "evaluation", f"Krichene and Rendle 2020, {FLAWS}",
        "test_metrics.py::test_against_brute_force"),
    "whole-history": Bug(whole_history, EVALUATE, "evaluation", EFFECT,
                         "test_metrics.py::test_by_hand_from_sessions_to_scores"),
}


@contextmanager
def planted(name):
    """Put the fault ``name`` of `BUGS` into the package inside a ``with`` block.

    The fault replaces an attribute of a module, a class or a dict. A name that was imported before, as in
    ``from rnnbook.metrics import evaluate_sessions``, still means the correct function.

    Raises
    ------
    ValueError
        ``BUGS`` has no such name.

    Examples
    --------
    >>> with planted("rank-below-k"):
    ...     print(metrics.gains([20], k=20)["recall"])
    [0.]
    >>> metrics.gains([20], k=20)["recall"]
    array([1.])
    """
    if name not in BUGS:
        raise ValueError(f"no bug {name!r} in the zoo; its bugs are {', '.join(BUGS)}")
    bug, (holder, key) = BUGS[name], BUGS[name].place
    patch: AbstractContextManager
    if isinstance(holder, dict):
        patch = mock.patch.dict(holder, {key: bug.wrong(holder[key])})
    else:
        patch = mock.patch.object(holder, key, bug.wrong(getattr(holder, key)))
    with patch:
        yield
