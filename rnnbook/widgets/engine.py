"""The Python side of the engine in the page: the same weights, negatives and so the same training as there."""

from __future__ import annotations

import base64
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import torch

from rnnbook.gru4rec import GRU4Rec, fit, train_epoch


def spec_of(world):
    """A SessionWorld as the engine takes it: its settings, and the items of each state with their shares (a dict).

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> spec = spec_of(SessionWorld(n_states=2, n_items=3, states_per_item=1))
    >>> spec["n_items"], sorted(spec["items"][0] + spec["items"][1])
    (3, [0, 1, 2])
    """
    own = replace(world, noise=0.0).emission
    return asdict(world) | {"items": [np.flatnonzero(row).tolist() for row in own],
                            "shares": [row[row > 0].tolist() for row in own]}


def packed(values):
    """Numbers as the engine's `unpack` reads them: 16 bits each, in base64 (str). Three digits or so are kept.

    Raises
    ------
    ValueError
        A number is too large for 16 bits, or is none.

    Examples
    --------
    >>> packed([1.0, -2.0])
    'ADwAwA=='
    """
    with np.errstate(over="ignore"):
        short = np.asarray(values, dtype="<f2")
    if not np.isfinite(short).all():
        raise ValueError("a weight is no number, or above 65,504, the largest that 16 bits can hold")
    return base64.b64encode(short.tobytes()).decode()


def weights_of(model):
    """A GRU4Rec as the engine takes it: a dict of its weights, `packed`, by the engine's names.

    Raises
    ------
    ValueError
        The network has a form that the engine does not have.

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4RecConfig
    >>> sorted(weights_of(GRU4Rec(["a", "b"], GRU4RecConfig(hidden_size=2))))
    ['bias', 'bias_hh', 'bias_ih', 'output', 'weight_hh', 'weight_ih']
    """
    config = model.config
    if len(config.hidden_sizes) > 1 or config.input != "shared" or config.feedforward_size:
        raise ValueError("the page runs a network with one GRU layer, no layer after it, and input='shared'")
    [layer] = model.layers
    named = {"output": model.output, "bias": model.bias} | dict(layer.named_parameters())
    return {name: packed(tensor.detach().cpu().numpy()) for name, tensor in named.items()}


def page_model(item_ids, config, seed):
    """An untrained GRU4Rec with the weights that the page draws for this seed.

    Parameters
    ----------
    item_ids : array [n_items]
    config : GRU4RecConfig
        With one layer, the shared table, no dropout and no momentum, as the engine has it.
    seed : int

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4RecConfig
    >>> model = page_model(["a", "b", "c"], GRU4RecConfig(hidden_size=2, hidden_dropout=0.0), seed=0)
    >>> model.output.shape, model.bias.tolist()
    (torch.Size([3, 2]), [0.0, 0.0, 0.0])
    """
    model, d = GRU4Rec(item_ids, config), config.hidden_size
    rng = np.random.default_rng([seed, 0])
    weights, table, square = model.state_dict(), (6 / (len(model.item_ids) + d)) ** 0.5, (3 / d) ** 0.5
    for name, bound in ("output", table), ("layers.0.weight_ih", square), ("layers.0.weight_hh", square):
        drawn = (2 * rng.random(weights[name].numel()) - 1) * bound
        weights[name].copy_(torch.from_numpy(drawn).view_as(weights[name]))
    return model


def train_epoch_of_the_page(rng, model, optimizer, sampler, *args, **kwargs):
    """`rnnbook.gru4rec.train_epoch` with the negatives that the page draws: from a numpy Generator, step by step."""
    sums = np.cumsum(np.diff(sampler.cumulative.double().numpy(), prepend=0.0))

    def draw():
        drawn = np.searchsorted(sums, rng.random(sampler.shape[1]) * sums[-1], side="right")
        return torch.from_numpy(np.minimum(drawn, len(sums) - 1))

    sampler.next = draw
    train_epoch(model, optimizer, sampler, *args, **kwargs)


def fit_as_in_the_page(train, config, seed, **options):
    """Train as the page does with these settings and this seed; takes the other arguments of `rnnbook.gru4rec.fit`.

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4RecConfig
    >>> from rnnbook.worlds import SessionWorld
    >>> config = GRU4RecConfig(hidden_size=4, hidden_dropout=0.0, batch_size=8, n_sample=16, n_epochs=1)
    >>> model = fit_as_in_the_page(SessionWorld(n_items=30).sample(50), config, seed=0, progress=False)
    >>> len(model.history)
    1
    """
    epoch = partial(train_epoch_of_the_page, np.random.default_rng([seed, 1]))
    return fit(train, config, device="cpu", start=page_model(train.item_ids, config, seed), epoch=epoch, **options)
