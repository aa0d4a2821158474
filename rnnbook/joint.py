"""Ratings and reviews trained together (Wu, Ahmed, Beutel & Smola, ICLR workshop 2017).

An RRN that predicts ratings, and a character LSTM that has to write the review from the same states of user and item.
The reviews are never an input. They shape the parameters from which the ratings are predicted.

Read it from top to bottom: characters as symbols, settings, the writer, the model, the loss, training, and perplexity.

Sizes: n ratings, of which a batch has k; c symbols; B reviews in a padded batch, of at most L characters; g numbers in
x_joint.
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
from rnnbook.interactions.lookup import find_ids
from rnnbook.interactions.ragged import concatenated_ranges
from rnnbook.rrn import RRN, RRNConfig
from rnnbook.training import Count, Size, Weight, as_tensor

# --- Characters as symbols ---------------------------------------------------------------------------------

END, UNKNOWN = 0, 1  # END also begins a review; the characters of the alphabet are the symbols from 2 on


def alphabet_of(reviews, min_count):
    """The characters that occur at least ``min_count`` times, as a str in the order of their code points.

    Examples
    --------
    >>> from rnnbook.interactions import ReviewData
    >>> rows = pd.DataFrame({"user": [1, 2], "item": 7, "rating": 5.0, "time": [1, 2],
    ...                      "text": ["so good", "good!"]})
    >>> alphabet_of(ReviewData.from_frame(rows), min_count=2)
    'dgo'
    """
    codes, counts = np.unique(reviews.characters, return_counts=True)
    known = codes[(counts >= min_count) & ~((0xD800 <= codes) & (codes < 0xE000))]  # a lone surrogate is no character
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
    The reviews "so" and "g" in one batch: each begins with END, and a target is the next character.

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
        """The inputs and the targets of some reviews, whose lengths should be similar.

        Parameters
        ----------
        rows : int64 array [B]

        Returns
        -------
        inputs : Tensor, int64 [L + 1, B]
            END, then the review, then END as padding.
        targets : Tensor, int64 [sum of length + 1]
            The symbol that comes next: each review, then its END. Review after review.
        place, row : Tensors, int64, like ``targets``
            Each target is predicted from ``inputs[place, row]``.
        """
        sizes = self.lengths[rows] + 1
        row = np.repeat(np.arange(len(rows)), sizes)
        place = concatenated_ranges(np.zeros_like(sizes), sizes)
        source = np.where(place == sizes[row] - 1, -1, self.starts[rows][row] + place)
        source, place, row = (as_tensor(array, self.symbols) for array in (source, place, row))
        targets = self.symbols[source].long()
        inputs = targets.new_full((int(sizes.max()) + 1, len(rows)), END).index_put((place + 1, row), targets)
        return inputs[:-1], targets, place, row


def padded_batches(lengths, text_batch, rows):
    """Cut reviews into batches of similar length, each of at most ``text_batch`` characters including the padding.

    Parameters
    ----------
    lengths : int64 array [n]
    text_batch : int
        A review that is longer is a batch of its own.
    rows : int64 array
        Of ``lengths``; reviews without a character are left out, those of equal length stay in this order.

    Returns
    -------
    list of int64 arrays, the longest reviews first

    Examples
    --------
    Reviews of 3, 0, 8 and 3 characters, 10 at a time with their ends: the longest alone, the empty one nowhere.

    >>> [rows.tolist() for rows in padded_batches(np.array([3, 0, 8, 3]), 10, np.arange(4))]
    [[2], [0, 3]]
    """
    rows = rows[lengths[rows] > 0]
    rows, batches = rows[np.argsort(lengths[rows], kind="stable")], []
    while len(rows):
        count = max(1, text_batch // (int(lengths[rows[-1]]) + 1))  # the longest one sets the padded length of all
        batches.append(rows[-count:])
        rows = rows[:-count]
    return batches


# --- Settings ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JointConfig(RRNConfig):
    """Settings of an RRN and of the writer.

    The sizes of a character's embedding and of x_joint and the two layers are the paper's. It gives neither the size of
    the layers nor λ.

    Examples
    --------
    >>> JointConfig().text_weight, JointConfig().hidden_size == RRNConfig().hidden_size
    (1.0, True)
    """

    text_weight: Weight = 1.0  # λ, of the nats per character of a review; 0 trains on the ratings alone
    character_size: Size = 30
    joint_size: Size = 40
    writer_item_size: Count = 0  # of a vector of each item that the writer alone reads; the paper has 50
    text_hidden_size: Size = 128
    text_layers: Size = 2
    min_count: Size = 5  # rarer characters are UNKNOWN
    text_batch: Size = 4096  # characters of a padded batch of reviews
    warm_up: Count = 1  # epochs on the text alone, with x_joint = 0, before the first one of both


# --- The writer --------------------------------------------------------------------------------------------


class Writer(nn.Module):
    r"""A character LSTM that reads at every character, besides the one before, x_joint: who writes about what.

    .. math::
        \tilde x_k &= [x_{o_k}, x_\mathrm{joint}], \\
        h_k &= \mathrm{LSTM}(h_{k-1}, \tilde x_k), \\
        \hat o_{k+1} &= \mathrm{softmax}(W_\mathrm{out} h_k + b_\mathrm{out}).

    In training, dropout is applied to x_joint, as it is to the dynamic factors.

    Parameters
    ----------
    n_symbols : int
    terms_size : int
        How many numbers x_joint is made from.
    config : JointConfig

    Examples
    --------
    With all weights 0 the 10 symbols are equally likely: a review of 4 characters and its end cost 5 log 10 nats.

    >>> from rnnbook.interactions import ReviewData
    >>> rows = pd.DataFrame({"user": [1], "item": 7, "rating": 5.0, "time": 1, "text": ["good"]})
    >>> writer = Writer(n_symbols=10, terms_size=6, config=JointConfig(joint_size=4))
    >>> for parameter in writer.out.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> texts = Texts(ReviewData.from_frame(rows), "dgo", "cpu")
    >>> nats = writer.nats(texts, np.array([0]), torch.zeros(1, 4))
    >>> round(nats.item() / float(np.log(10)), 4)
    5.0
    """

    def __init__(self, n_symbols, terms_size, config):
        super().__init__()
        self.dropout = config.dropout
        self.to_joint = nn.Linear(terms_size, config.joint_size)
        self.character = nn.Embedding(n_symbols, config.character_size)
        self.lstm = nn.LSTM(config.character_size + config.joint_size, config.text_hidden_size, config.text_layers)
        self.out = nn.Linear(config.text_hidden_size, n_symbols)

    def x_joint(self, users, items, *own):
        r""":math:`x_\mathrm{joint} =` :math:`\tanh(W [u_{it}, m_{jt}, u_i, m_j] + b)`, float [k, g], from both Terms.

        The paper leaves φ open; tanh is ours. u_i and m_j are the static terms: anchor, stationary factors and bias.
        If items have vectors that the writer alone reads, ``own`` are those, float [k, writer_item_size].
        """
        pairs = zip(users._replace(bias=users.bias[:, None]), items._replace(bias=items.bias[:, None]))
        terms = torch.cat([*(term for pair in pairs for term in pair), *own], dim=1)
        return F.dropout(torch.tanh(self.to_joint(terms)), self.dropout, self.training)

    def forward(self, symbols, x_joint, state=None):
        """Symbols int64 [L, B] and x_joint [B, g] to h, float [L, B, hidden], and the state to go on from."""
        x_joint = x_joint.expand(len(symbols), *x_joint.shape)
        return self.lstm(torch.cat([self.character(symbols), x_joint], dim=2), state)

    def nats(self, texts, rows, x_joint):
        """−log Pr of whole reviews, their ends included: float [B], for the rows (int64 array [B]) of ``texts``."""
        inputs, targets, place, row = texts.pack(rows)
        h, _ = self(inputs, x_joint)
        each = F.cross_entropy(self.out(h[place, row]), targets, reduction="none")
        return each.new_zeros(len(rows)).index_add(0, row, each)


# --- The model ---------------------------------------------------------------------------------------------


class Joint(RRN):
    """An RRN with a writer. It does all that an `RRN` does: ratings are predicted without any text.

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
    >>> (character, p), *_ = model.sample_characters("user-1", "item-2", max_length=1)
    >>> len(p) == len(model.alphabet) + 2, round(p.sum(), 6).item()
    (True, 1.0)
    """

    Config = JointConfig
    BUILT_FROM = (*RRN.BUILT_FROM, "alphabet")

    def __init__(self, item_ids, config, device="cpu", *, user_ids, scale, alphabet):
        super().__init__(item_ids, config, device, user_ids=user_ids, scale=scale)
        self.alphabet = alphabet
        with torch.device(device):
            terms_size = 2 * (2 * config.dynamic_size + config.stationary_size + 1) + config.writer_item_size
            self.writer = Writer(len(alphabet) + 2, terms_size, config)
            if config.writer_item_size:  # the last row is for new items, and stays zero
                self.writer_items = nn.Embedding(len(item_ids) + 1, config.writer_item_size, sparse=True)
                nn.init.zeros_(self.writer_items.weight)

    def x_joint(self, users, items, indices):
        """`Writer.x_joint` of the Terms of both, and of items with these indices, int64 array [k]; −1 is a new one."""
        if not self.config.writer_item_size:
            return self.writer.x_joint(users, items)
        rows = self.items.rows(as_tensor(indices, self.writer_items.weight))
        return self.writer.x_joint(users, items, self.writer_items(rows))

    @torch.no_grad()
    def write(self, user, item, *, rating=None, time=None, temperature=1.0, max_length=500, seed=0):
        """Write the review that a user would give an item, character by character.

        Parameters
        ----------
        user, item : raw ids
            Unknown ones are taken for new.
        rating : float, optional
            Write as if the model predicted this rating: the item's bias is moved until it does.
        time : float or datetime, optional
            Seconds since 1970; by default the moment after all that was seen.
        temperature : float
            The logits are divided by it; 0 takes the likeliest character every time.
        max_length : int
            Characters after which the review is cut off.
        seed : int

        Returns
        -------
        str
        """
        return "".join(c for c, _ in self.sample_characters(user, item, rating, time, temperature, max_length, seed))

    @torch.no_grad()
    def sample_characters(self, user, item, rating=None, time=None, temperature=1.0, max_length=500, seed=0):
        """As `write`, but yields each character with the probabilities of all symbols, float64 array [c].

        They are those before the temperature. Last comes "" with the probabilities from which `END` was drawn,
        unless the review is cut off before.
        """
        if not (0 <= temperature < np.inf and max_length >= 1):
            raise ValueError(f"temperature={temperature}, max_length={max_length}; the first must not be negative, "
                             "the second at least 1")
        if rating is not None and not np.isfinite(rating):
            raise ValueError(f"rating={rating}; it must be a number, or None for the one that the model predicts")
        self.eval()
        users, items = self.terms_at([user], [item], [self.seen.times[-1] + 1 if time is None else time])
        if rating is not None:
            [predicted] = self.ratings(users, items)
            items = items._replace(bias=items.bias + (rating - predicted) / self.scale["std"])
        x, state = self.x_joint(users, items, find_ids([item], self.item_ids)), None
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


# --- The loss ----------------------------------------------------------------------------------------------


def text_loss(writer, texts, rows, x_joint, weight, text_batch):
    """``weight`` × the nats per character of some reviews, summed over the reviews.

    Reviews of similar length form padded batches of at most ``text_batch`` characters. The gradient of each batch is
    computed at once and added up, so that what back-propagation keeps does not grow with the number of reviews.

    Parameters
    ----------
    writer : Writer
    texts : Texts
    rows : int64 array [k]
        Of ``texts``; those without a character are left out.
    x_joint : Tensor, float [k, g]
    weight : float
    text_batch : int

    Returns
    -------
    Tensor, scalar

    Examples
    --------
    With all weights 0 the 5 symbols are equally likely, and every character costs log 5 nats.

    >>> from rnnbook.interactions import ReviewData
    >>> rows = pd.DataFrame({"user": [1], "item": 7, "rating": 5.0, "time": 1, "text": ["good"]})
    >>> writer = Writer(n_symbols=5, terms_size=6, config=JointConfig(joint_size=4))
    >>> for parameter in writer.out.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> texts, x_joint = Texts(ReviewData.from_frame(rows), "dgo", "cpu"), torch.zeros(1, 4)
    >>> loss = text_loss(writer, texts, np.array([0]), x_joint, weight=10.0, text_batch=1000)
    >>> round(loss.item() / float(np.log(5)), 4)
    10.0
    """
    parameters = [*writer.character.parameters(), *writer.lstm.parameters(), *writer.out.parameters()]
    return _TextLoss.apply(writer, texts, rows, weight, text_batch, x_joint, *parameters)


class _TextLoss(torch.autograd.Function):
    """`text_loss` for autograd: the gradient is made together with the loss, batch by batch."""

    @staticmethod
    def forward(ctx, writer, texts, rows, weight, text_batch, x_joint, *parameters):
        leaf, total = x_joint.detach().requires_grad_(), x_joint.new_zeros(())
        slopes = [torch.zeros_like(leaf), *[None] * len(parameters)]
        for batch in padded_batches(texts.lengths[rows], text_batch, np.arange(len(rows))):
            length = as_tensor((texts.lengths[rows[batch]] + 1).astype(float), leaf)
            with torch.enable_grad():
                nats = writer.nats(texts, rows[batch], leaf[as_tensor(batch, leaf)])
                loss = weight * (nats / length).sum()
            new = torch.autograd.grad(loss, (leaf, *parameters))
            slopes = [b if a is None else a.add_(b) for a, b in zip(slopes, new)]
            total += loss.detach()
        ctx.save_for_backward(*slopes)
        return total

    @staticmethod
    def backward(ctx, slope):
        return *[None] * 5, *[None if each is None else slope * each for each in ctx.saved_tensors]


def batch_loss(model, train, steps, batch, texts):
    """The loss of a batch of ratings and their reviews.

    .. math::
        L &= \\frac 1k \\sum_r \\Big( (\\hat r - r)^2
            - \\frac{\\lambda}{L_r + 1} \\sum_l \\log \\Pr(o_{r,l}) \\Big) \\\\
        &\\quad {} + R(\\theta)

    A rating without a review has no second part.

    Parameters
    ----------
    model, train, steps, batch
        As for `rnnbook.rrn.batch_loss`.
    texts : Texts
        The reviews of ``train``.

    Returns
    -------
    loss : Tensor, scalar
    error : Tensor, scalar
        The sum of squared errors.

    Examples
    --------
    Twice the weight of the text gives the writer twice the gradient, and no weight gives it none.

    >>> from rnnbook.worlds import ReviewWorld
    >>> reviews = ReviewWorld(n_items=10).sample()
    >>> train, users = reviews.ratings, np.unique(reviews.ratings.users)
    >>> def gradient(weight):
    ...     model = new_model(reviews, JointConfig(text_weight=weight), device="cpu").eval()
    ...     steps, texts = model.steps(train), Texts(reviews, model.alphabet, "cpu")
    ...     cold = torch.zeros(train.n_users, dtype=torch.bool)
    ...     batch = rrn.batch_of(model, 0, users, train, steps, None, cold)
    ...     batch_loss(model, train, steps, batch, texts)[0].backward()
    ...     return model.writer.out.bias.grad
    >>> gradient(0.0), torch.allclose(2 * gradient(1.0), gradient(2.0))
    (None, True)
    """
    loss, error = rrn.batch_loss(model, train, steps, batch)
    config, k = model.config, len(batch.ratings)
    if config.text_weight == 0:
        return loss, error
    x_joint = model.x_joint(batch.users, batch.items, train.items[batch.ratings])
    text = text_loss(model.writer, texts, batch.ratings, x_joint, config.text_weight / k, config.text_batch)
    return loss + text, error


# --- Training ----------------------------------------------------------------------------------------------


def warm_up(model, texts, optimizer):
    """Train the writer alone for ``config.warm_up`` epochs, with x_joint = 0: first how words are spelt.

    Examples
    --------
    >>> from rnnbook.worlds import ReviewWorld
    >>> train = ReviewWorld(n_items=10).sample()
    >>> model = new_model(train, JointConfig(warm_up=1, text_hidden_size=8), device="cpu")
    >>> texts = Texts(train, model.alphabet, "cpu")
    >>> rows, nothing = np.arange(40), torch.zeros(40, 40)
    >>> before = model.writer.nats(texts, rows, nothing).sum().item()
    >>> warm_up(model, texts, training.Adam(dict(model.named_parameters()), lr=0.01))
    >>> model.writer.nats(texts, rows, nothing).sum().item() < before
    True
    """
    config = model.config
    nothing = torch.zeros(1, config.joint_size, device=model.device)
    for _ in range(config.warm_up):
        batches = padded_batches(texts.lengths, config.text_batch, torch.randperm(len(texts.lengths)).numpy())
        for i in torch.randperm(len(batches)).tolist():
            rows = batches[i]
            optimizer.zero_grad()
            text_loss(model.writer, texts, rows, nothing.expand(len(rows), -1), 1 / len(rows),
                      config.text_batch).backward()
            optimizer.step()


def fit(train, config=JointConfig(), *, device="auto", seed=0, valid=None, patience=3, checkpoint=None, progress=True,
        callback=None, start=None):
    """Train ratings and reviews together by subspace descent, see `rnnbook.rrn.fit`.

    The writer learns in both halves of an epoch, from the reviews of the batch's ratings.

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

    Raises
    ------
    ValueError
        There are no ratings to train or to validate on, or the checkpoint belongs to another run.
    FloatingPointError
        The loss has become infinite or not a number.

    Examples
    --------
    >>> from rnnbook.worlds import ReviewWorld
    >>> train, valid, test = (world := ReviewWorld(n_items=20)).split(world.sample())
    >>> config = JointConfig(text_hidden_size=8, text_layers=1, n_epochs=2)
    >>> model = fit(train, config, valid=valid, device="cpu", progress=False)
    >>> [sorted(point) for point in model.history]
    [['epoch', 'loss', 'rmse'], ['epoch', 'loss', 'rmse']]
    """
    if not train.n_ratings or (valid is not None and not valid.n_ratings):
        raise ValueError(f"there are no ratings to {'validate' if train.n_ratings else 'train'} on")
    model = new_model(train, config, device=device, seed=seed, start=start)
    texts = Texts(train, model.alphabet, model.device)
    rrn.descend(model, train.ratings, partial(batch_loss, texts=texts), seed=seed, valid=valid and valid.ratings,
                patience=patience, checkpoint=checkpoint, progress=progress, callback=callback,
                warm_up=partial(warm_up, model, texts) if config.text_weight > 0 else None,
                identity=training.identity(config, train, valid, seed, n_epochs=config.decay and config.n_epochs,
                                           start=start is not None and training.digest_of(model)))
    return model


# --- Perplexity --------------------------------------------------------------------------------------------


class TextScores(NamedTuple):
    """How well reviews are predicted.

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
    """How well a model predicts the reviews that come next, each from what was seen before it.

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
    If all symbols are equally likely, the perplexity is their number.

    >>> from rnnbook.worlds import ReviewWorld
    >>> train, _, test = (world := ReviewWorld(n_items=20)).split(world.sample())
    >>> model = new_model(train, JointConfig(), device="cpu")
    >>> for parameter in model.writer.out.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> scores = evaluate_text(model, test)
    >>> round(scores.perplexity, 3) == len(model.alphabet) + 2, scores.nats.shape
    (True, (10,))
    """
    known = find_ids(reviews.ratings.item_ids, model.item_ids)
    x_joint = model.eval().x_joint(*model.terms_following(reviews.ratings), known[reviews.ratings.items])
    texts = Texts(reviews, model.alphabet, model.device)
    written = np.flatnonzero(reviews.lengths)
    if not len(written):
        raise ValueError(f"{reviews.name}: there is no review that is not empty")
    nats = np.zeros(reviews.n_ratings)
    for rows in padded_batches(reviews.lengths, 4 * model.config.text_batch, np.arange(reviews.n_ratings)):
        nats[rows] = model.writer.nats(texts, rows, x_joint[as_tensor(rows, x_joint)]).double().cpu().numpy()
    words = sum(len(reviews.text(i).split()) for i in written)
    return TextScores(float(np.exp(nats.sum() / (reviews.lengths[written] + 1).sum())),
                      float(np.exp(nats.sum() / max(words, 1))), nats[written])
