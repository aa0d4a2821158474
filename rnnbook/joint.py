"""Ratings and reviews trained together (Wu, Ahmed, Beutel & Smola, ICLR workshop 2017).

An RRN that predicts ratings, and beside it a character LSTM that is told where user and item are and has to write the
review. The reviews are never an input: they shape the parameters, from which the ratings are predicted.

Read from top to bottom: characters as symbols, the settings, the net that writes, the model, training, and the measure.

Letters: n ratings, k of them in a batch, c symbols, B reviews side by side of at most L characters, g size of x_joint.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rnnbook import rrn
from rnnbook import training
from rnnbook.rrn import RRN, RRNConfig

# --- Characters as symbols ---------------------------------------------------------------------------------

END, UNKNOWN = 0, 1  # END also begins a review; the characters of the alphabet are the symbols from 2 on


def alphabet_of(reviews, min_count):
    """The characters that occur at least so often, as a str in the order of their code points.

    Examples
    --------
    >>> from rnnbook.interactions import ReviewData
    >>> rows = pd.DataFrame({"user": [1, 2], "item": 7, "rating": 5.0, "time": [1, 2],
    ...                      "text": ["so good", "good!"]})
    >>> alphabet_of(ReviewData.from_frame(rows), min_count=2)
    'dgo'
    """
    codes, counts = np.unique(reviews.characters, return_counts=True)
    known = codes[(counts >= min_count) & ~((0xD800 <= codes) & (codes < 0xE000))]  # half a character is none
    return "".join(map(chr, known.tolist()))


def encode(characters, alphabet):
    """Code points (uint32 [n]) to symbols (int32 [n]); what is not in the alphabet is UNKNOWN.

    Examples
    --------
    END and UNKNOWN have 0 and 1, so the alphabet begins at 2.

    >>> encode(np.array([ord(c) for c in "good!"], dtype=np.uint32), "dgo").tolist()
    [3, 4, 4, 2, 1]
    """
    codes = np.array([ord(c) for c in alphabet], dtype=np.uint32)
    place = np.searchsorted(codes, characters)
    found = np.append(codes, 0)[place] == characters if len(codes) else np.zeros(len(characters), bool)
    return np.where(found & (place < len(codes)), place + 2, UNKNOWN).astype(np.int32)


def decode(symbols, alphabet):
    """Symbols (ints, without END) to a str; UNKNOWN is shown as U+FFFD.

    Examples
    --------
    >>> decode([3, 4, 4, 2, 1], "dgo")
    'good\N{REPLACEMENT CHARACTER}'
    """
    return "".join("\ufffd" if s == UNKNOWN else alphabet[s - 2] for s in symbols)


class Texts:
    """Reviews as symbols, on the model's device.

    Attributes
    ----------
    symbols : Tensor, int32 [n_characters + 1]
        Review after review, then one END.
    starts, lengths : int64 arrays [n]

    Examples
    --------
    Reviews "so" and "g" side by side: END begins each, and what is to be foretold is one character on.

    >>> from rnnbook.interactions import ReviewData
    >>> rows = pd.DataFrame({"user": [1, 2], "item": 7, "rating": 5.0, "time": [1, 2],
    ...                      "text": ["so", "g"]})
    >>> texts = Texts(ReviewData.from_frame(rows), "gos", "cpu")
    >>> inputs, targets, place, row = texts.pack(np.array([0, 1]))
    >>> inputs.T.tolist()
    [[0, 4, 3], [0, 2, 0]]
    >>> targets.tolist(), row.tolist()
    ([4, 3, 0, 2, 0], [0, 0, 0, 1, 1])
    """

    def __init__(self, reviews, alphabet, device):
        symbols = np.append(encode(reviews.characters, alphabet), np.int32(END))
        self.symbols = torch.from_numpy(symbols).to(device)
        self.starts, self.lengths = reviews.offsets[:-1], reviews.lengths

    def pack(self, rows):
        """The inputs and the targets of some reviews, whose lengths should be alike.

        Parameters
        ----------
        rows : int64 array [B]

        Returns
        -------
        inputs : Tensor, int64 [L + 1, B]
            END, then the review; END again where a shorter one is over.
        targets : Tensor, int64 [sum of length + 1]
            What comes after each of them: the review, then END. Review after review.
        place, row : Tensors, int64, like ``targets``
            Where in ``inputs`` each stands.
        """
        size = self.lengths[rows] + 1
        row = np.repeat(np.arange(len(rows)), size)
        step = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
        over = step == size[row] - 1
        source, place, review = (torch.from_numpy(i).to(self.symbols.device)
                                 for i in (np.where(over, -1, self.starts[rows][row] + step), step, row))
        targets = self.symbols[source].long()
        inputs = targets.new_full((int(size.max()) + 1, len(rows)), END).index_put((place + 1, review), targets)
        return inputs[:-1], targets, place, review


def side_by_side(lengths, text_batch, rows):
    """Cut reviews into runs of similar length, each of at most ``text_batch`` characters with all padding.

    Parameters
    ----------
    lengths : int64 array [n]
    text_batch : int
        The review that is longer is a run of its own.
    rows : int64 array
        Of ``lengths``; reviews without a character are left out, those of equal length stay in this order.

    Returns
    -------
    list of int64 arrays, the longest reviews first

    Examples
    --------
    Reviews of 3, 0, 8 and 3 characters, 10 at a time with their ends: the longest alone, the empty one nowhere.

    >>> [rows.tolist() for rows in side_by_side(np.array([3, 0, 8, 3]), 10, np.arange(4))]
    [[2], [0, 3]]
    """
    rows = rows[lengths[rows] > 0]
    rows, runs = rows[np.argsort(lengths[rows], kind="stable")], []
    while len(rows):
        count = max(1, text_batch // (int(lengths[rows[-1]]) + 1))  # as wide as the longest of them allows
        runs.append(rows[-count:])
        rows = rows[:-count]
    return runs


# --- Settings ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JointConfig(RRNConfig):
    """Settings of an RRN, and of the net that writes.

    The sizes of a character's embedding and of x_joint and the two layers are the paper's. It gives neither the size of
    the layers nor λ.

    Examples
    --------
    >>> JointConfig().text_weight, JointConfig().hidden_size == RRNConfig().hidden_size
    (1.0, True)
    """

    text_weight: float = 1.0  # λ, of the nats per character of a review; 0 trains on the ratings alone
    character_size: int = 30
    joint_size: int = 40
    text_hidden_size: int = 128
    text_layers: int = 2
    min_count: int = 5  # rarer characters are UNKNOWN
    text_batch: int = 4096  # characters that are run side by side, padding included
    warm_up: int = 1  # epochs of the text alone, told nothing, before the first one of both

    def __post_init__(self):
        super().__post_init__()
        for name in ("character_size", "joint_size", "text_hidden_size", "text_layers", "min_count", "text_batch"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}; it must be an integer of at least 1")
        if self.text_weight < 0 or self.warm_up < 0:
            raise ValueError(f"text_weight={self.text_weight}, warm_up={self.warm_up}; neither may be negative")


# --- The net that writes -----------------------------------------------------------------------------------


class Writer(nn.Module):
    r"""A character LSTM that is told at every character about whom and what it writes:

    .. math::
        \tilde x_k = [x_{o_k}, x_\mathrm{joint}], \qquad h_k = \mathrm{LSTM}(h_{k-1}, \tilde x_k), \qquad
        \hat o_{k+1} = \mathrm{softmax}(W_\mathrm{out} h_k + b_\mathrm{out}).

    As the dynamic factors, x_joint is thinned out by dropout in training.

    Parameters
    ----------
    n_symbols : int
    told_size : int
        Of all that x_joint is made from.
    config : JointConfig

    Examples
    --------
    With all weights 0 each of the 10 symbols is as likely: a review of 4 characters and its end cost 5 log 10 nats.

    >>> from rnnbook.interactions import ReviewData
    >>> rows = pd.DataFrame({"user": [1], "item": 7, "rating": 5.0, "time": 1, "text": ["good"]})
    >>> writer = Writer(n_symbols=10, told_size=6, config=JointConfig(joint_size=4))
    >>> for parameter in writer.out.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> texts = Texts(ReviewData.from_frame(rows), "dgo", "cpu")
    >>> nats = writer.nats(texts, np.array([0]), torch.zeros(1, 4))
    >>> round(nats.item() / float(np.log(10)), 4)
    5.0
    """

    def __init__(self, n_symbols, told_size, config):
        super().__init__()
        self.dropout = config.dropout
        self.tell = nn.Linear(told_size, config.joint_size)
        self.character = nn.Embedding(n_symbols, config.character_size)
        self.lstm = nn.LSTM(config.character_size + config.joint_size, config.text_hidden_size, config.text_layers)
        self.out = nn.Linear(config.text_hidden_size, n_symbols)

    def x_joint(self, u, m, ours, theirs):
        r""":math:`x_\mathrm{joint} = \tanh(W [u_{it}, m_{jt}, u_i, m_j] + b)`: float [k, g]; the paper leaves φ open.

        The arguments are those of `RRN.combine`; a user's own are anchor, stationary factors and bias.
        """
        (a, p, c), (b, q, d) = ours, theirs
        told = torch.cat([u, m, a, b, p, q, c[:, None], d[:, None]], dim=1)
        return F.dropout(torch.tanh(self.tell(told)), self.dropout, self.training)

    def forward(self, symbols, x_joint, state=None):
        """Symbols int64 [L, B] and x_joint [B, g] to h, float [L, B, hidden], and the state to go on from."""
        told = x_joint.expand(len(symbols), *x_joint.shape)
        return self.lstm(torch.cat([self.character(symbols), told], dim=2), state)

    def nats(self, texts, rows, x_joint):
        """−log Pr of whole reviews, their ends included: float [B], for the rows (int64 array [B]) of ``texts``."""
        inputs, targets, place, row = texts.pack(rows)
        h, _ = self(inputs, x_joint)
        each = F.cross_entropy(self.out(h[place, row]), targets, reduction="none")
        return each.new_zeros(len(rows)).index_add(0, row, each)


# --- The model ---------------------------------------------------------------------------------------------


class Joint(RRN):
    """An RRN with a writer. All that an `RRN` has, it has: ratings are predicted without any text.

    Parameters
    ----------
    alphabet : str
        Of the writer; see `RRN` for the others.

    Examples
    --------
    >>> from rnnbook.worlds import ReviewWorld
    >>> data = ReviewWorld(n_items=10).sample()
    >>> model = new_model(data, JointConfig(), device="cpu")
    >>> model.predict(["user-1"], ["item-2"], [data.ratings.times[-1] + 1]).shape
    (1,)
    >>> text = model.write("user-1", "item-2", max_length=20, seed=3)
    >>> len(text) <= 20, text == model.write("user-1", "item-2", max_length=20, seed=3)
    (True, True)
    >>> (character, p), *_ = model.writing("user-1", "item-2", max_length=1)
    >>> len(p) == len(model.alphabet) + 2, round(p.sum(), 6).item()
    (True, 1.0)
    """

    Config = JointConfig
    BUILT_FROM = (*RRN.BUILT_FROM, "alphabet")

    def __init__(self, item_ids, config, device="cpu", *, user_ids, scale, alphabet):
        super().__init__(item_ids, config, device, user_ids=user_ids, scale=scale)
        self.alphabet = alphabet
        with torch.device(device):
            told = 2 * (2 * config.dynamic_size + config.stationary_size + 1)
            self.writer = Writer(len(alphabet) + 2, told, config)

    @torch.no_grad()
    def write(self, user, item, *, rating=None, time=None, temperature=1.0, max_length=500, seed=0):
        """Write the review that a user would give an item, character by character.

        Parameters
        ----------
        user, item : raw ids
            Unknown ones are newcomers.
        rating : float, optional
            The review for this rating: the item's bias is moved until the model would predict it. By default as
            predicted.
        time : float, optional
            Seconds since 1970; by default the moment after all that was seen.
        temperature : float
            The logits are divided by it; 0 takes the likeliest character every time.
        max_length : int
        seed : int

        Returns
        -------
        str
        """
        return "".join(c for c, _ in self.writing(user, item, rating, time, temperature, max_length, seed))

    @torch.no_grad()
    def writing(self, user, item, rating=None, time=None, temperature=1.0, max_length=500, seed=0):
        """As `write`, a character at a time: yields it with the probabilities of all symbols, float64 array [c].

        They are those before the temperature. Last comes "" with the probabilities from which `END` was drawn,
        unless ``max_length`` cut the review off before.
        """
        if temperature < 0 or max_length < 1:
            raise ValueError(f"temperature={temperature}, max_length={max_length}; the first must not be negative, "
                             "the second at least 1")
        self.eval()
        time = self.seen.times[-1] + 1 if time is None else time
        u, m, users, items = self.at([user], [item], [time])
        ours, (b, q, d) = self.own_of_both(users, items)
        if rating is not None:
            [predicted] = self.ratings(u, m, users, items)
            d = d + (rating - predicted) / self.scale["std"]
        x, state = self.writer.x_joint(u, m, ours, (b, q, d)), None
        rng, symbol = np.random.default_rng(seed), END
        for _ in range(max_length):
            h, state = self.writer(torch.full((1, 1), symbol, device=self.device), x, state)
            logits = self.writer.out(h[0, 0]).double().cpu().numpy()
            p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            drawn = np.exp((logits - logits.max()) / max(temperature, 1e-6))
            symbol = int(rng.choice(len(p), p=drawn / drawn.sum()))
            yield decode([symbol] * (symbol != END), self.alphabet), p
            if symbol == END:
                return


# --- Training ----------------------------------------------------------------------------------------------


def new_model(train, config, *, device="auto", seed=0, start=None):
    """An untrained Joint that has seen the ratings of ``train``, a ReviewData.

    Examples
    --------
    >>> from rnnbook.worlds import ReviewWorld
    >>> model = new_model(ReviewWorld(n_items=10).sample(), JointConfig(min_count=20), device="cpu")
    >>> "e" in model.alphabet, model.seen.n_ratings
    (True, 40)
    """
    kind = partial(Joint, alphabet=alphabet_of(train, config.min_count))
    return rrn.new_model(train.ratings, config, device=device, seed=seed, start=start, kind=kind)


def batch_loss(model, texts, data, at, parts):
    """The loss of a batch of ratings and their reviews.

    .. math::
        L = \\frac 1k \\sum_r \\Big( (\\hat r - r)^2 - \\frac{\\lambda}{L_r + 1} \\sum_k \\log \\Pr(o_k) \\Big)
            + R(\\theta)

    A rating without a review has no second part. Reviews of similar length are run side by side, ``text_batch``
    characters at a time, and each such run goes backward at once: what has to be kept does not grow with the text of
    the batch. The gradient that reaches x_joint is handed on as a product in the returned loss.

    Returns
    -------
    loss : Tensor, scalar
        Its gradient is that of L, the writer's own being there already.
    error : Tensor, scalar
        The sum of squared errors.

    Examples
    --------
    Twice the weight of the text is twice the writer's gradient, and without any there is none.

    >>> from rnnbook.worlds import ReviewWorld
    >>> train = ReviewWorld(n_items=10).sample()
    >>> def gradient(weight):
    ...     model = new_model(train, JointConfig(text_weight=weight), device="cpu").eval()
    ...     texts, learnt = Texts(train, model.alphabet, "cpu"), rrn.targets(model, train.ratings)
    ...     known = torch.ones(100, dtype=torch.bool)
    ...     owners = np.unique(train.ratings.users)
    ...     batch = rrn.batch_of(model, 0, owners, model.steps(train.ratings), learnt, None, known)
    ...     batch_loss(model, texts, learnt, *batch)[0].backward()
    ...     return model.writer.out.bias.grad
    >>> gradient(0.0), torch.allclose(2 * gradient(1.0), gradient(2.0))
    (None, True)
    """
    loss, error = rrn.batch_loss(model, data, at, parts)
    config = model.config
    if config.text_weight == 0:
        return loss, error
    x = model.writer.x_joint(*parts)
    slope = text_gradient(model.writer, texts, at, x, config.text_weight / len(at), config.text_batch)
    return loss + (x * slope).sum(), error


def text_gradient(writer, texts, rows, x_joint, weight, text_batch):
    """Add the gradient of ``weight`` × the nats per character of each review to the writer's, and return x_joint's.

    Parameters
    ----------
    rows : int64 array [k]
        Of ``texts``; those without a character are left out.
    x_joint : Tensor, float [k, g]

    Returns
    -------
    Tensor, float [k, g]

    Examples
    --------
    The gradient of one review of 4 characters, weighted with 1/10: that of the biases of all symbols adds up to 0.

    >>> from rnnbook.interactions import ReviewData
    >>> rows = pd.DataFrame({"user": [1], "item": 7, "rating": 5.0, "time": 1, "text": ["good"]})
    >>> writer = Writer(n_symbols=5, told_size=6, config=JointConfig(joint_size=4))
    >>> texts, x_joint = Texts(ReviewData.from_frame(rows), "dgo", "cpu"), torch.zeros(1, 4)
    >>> text_gradient(writer, texts, np.array([0]), x_joint, weight=0.1, text_batch=1000).shape
    torch.Size([1, 4])
    >>> abs(writer.out.bias.grad.sum().item()) < 1e-6
    True
    """
    leaf = x_joint.detach().requires_grad_()
    lengths = texts.lengths[rows]
    for some in side_by_side(lengths, text_batch, np.arange(len(rows))):
        length = torch.from_numpy(lengths[some] + 1).to(leaf)
        nats = writer.nats(texts, rows[some], leaf[torch.from_numpy(some).to(leaf.device)])
        (weight * (nats / length).sum()).backward()
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def fit(train, config=JointConfig(), *, device="auto", seed=0, valid=None, patience=3, checkpoint=None, progress=True,
        callback=None, start=None):
    """Train ratings and reviews together by subspace descent, see `rnnbook.rrn.fit`.

    The writer learns in both halves of an epoch, from the reviews of the ratings at hand.

    Parameters
    ----------
    train : ReviewData
    config : JointConfig
    valid : ReviewData, optional
        The ratings and reviews that come next; the epoch of least RMSE is kept.
    device, seed, patience, checkpoint, progress, callback, start
        As for an RRN.

    Returns
    -------
    Joint

    Examples
    --------
    >>> from rnnbook.worlds import ReviewWorld
    >>> train, valid, test = (world := ReviewWorld(n_items=20)).split(world.sample())
    >>> config = JointConfig(text_hidden_size=8, text_layers=1, n_epochs=2)
    >>> model = fit(train, config, valid=valid, device="cpu", progress=False)
    >>> [sorted(point) for point in model.history]
    [['epoch', 'loss', 'rmse'], ['epoch', 'loss', 'rmse']]
    """
    ratings = train.ratings
    if ratings.n_ratings == 0:
        raise ValueError(f"{train.name}: nothing to learn from")
    model = new_model(train, config, device=device, seed=seed, start=start)
    texts = Texts(train, model.alphabet, model.device)

    def warm_up(optimizer):
        """The characters' own habits first, with nothing told of whom and what is written about."""
        told = torch.zeros(1, config.joint_size, device=model.device)
        rows = np.arange(ratings.n_ratings)
        for _ in range(config.warm_up * (config.text_weight > 0)):
            split = side_by_side(texts.lengths, config.text_batch, torch.randperm(len(rows)).numpy())
            for i in torch.randperm(len(split)).tolist():
                optimizer.zero_grad()
                some = split[i]
                text_gradient(model.writer, texts, some, told.expand(len(some), -1), 1 / len(some), config.text_batch)
                optimizer.step()

    rrn.descend(model, ratings, lambda model, data, at, parts: batch_loss(model, texts, data, at, parts), seed=seed,
                valid=valid and valid.ratings, patience=patience, checkpoint=checkpoint, progress=progress,
                callback=callback, before=warm_up,
                identity=training.identity(config, train, valid, seed, start=start is not None))
    return model


# --- The measure -------------------------------------------------------------------------------------------


class TextScores(NamedTuple):
    """How well reviews are foretold.

    Examples
    --------
    A character that costs log 2 nats on average has a perplexity of 2.

    >>> scores = TextScores(perplexity=2.0, word_perplexity=32.0, nats=np.array([4 * np.log(2)]))
    >>> round(float(np.exp(scores.nats.sum() / 4)), 4)  # a review of three characters, and its end
    2.0
    """

    perplexity: float  # per character, the end of a review counting as one
    word_perplexity: float  # the same likelihood, per word: what white space divides
    nats: np.ndarray  # float64 [n]: −log Pr of each review that is not empty


@torch.no_grad()
def evaluate_text(model, reviews):
    """How well a model foretells the reviews that come next, each from what was seen before it.

    Parameters
    ----------
    model : Joint
    reviews : ReviewData
        What comes after ``model.seen``; users and items may be new. Characters that the model does not know count
        as one symbol.

    Returns
    -------
    TextScores

    Examples
    --------
    A writer for whom all symbols are alike has as many as its perplexity.

    >>> from rnnbook.worlds import ReviewWorld
    >>> train, _, test = (world := ReviewWorld(n_items=20)).split(world.sample())
    >>> model = new_model(train, JointConfig(), device="cpu")
    >>> for parameter in model.writer.out.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> scores = evaluate_text(model, test)
    >>> round(scores.perplexity, 3) == len(model.alphabet) + 2, scores.nats.shape
    (True, (10,))
    """
    u, m, users, items = model.eval().ahead(reviews.ratings)
    x = model.writer.x_joint(u, m, *model.own_of_both(users, items))
    texts = Texts(reviews, model.alphabet, model.device)
    written = np.flatnonzero(reviews.lengths)
    if not len(written):
        raise ValueError(f"{reviews.name}: there is no review that is not empty")
    nats = np.zeros(reviews.n_ratings)
    for rows in side_by_side(reviews.lengths, 4 * model.config.text_batch, np.arange(reviews.n_ratings)):
        nats[rows] = model.writer.nats(texts, rows, x[torch.from_numpy(rows).to(x.device)]).double().cpu().numpy()
    words = sum(len(reviews.text(i).split()) for i in written)
    return TextScores(float(np.exp(nats.sum() / (reviews.lengths[written] + 1).sum())),
                      float(np.exp(nats.sum() / max(words, 1))), nats[written])
