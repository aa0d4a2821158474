"""A world of ratings with reviews, in which the exact value of a text for predicting the next rating is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr, logsumexp, softmax, xlogy

from rnnbook.interactions import DAY, RatingData, ReviewData, concatenate
from rnnbook.interactions.ragged import concatenated_ranges
from rnnbook.worlds.ratings import START

# A review is an opening, a word and a closing. The words are graded, worst first; the other two parts carry no
# information. Each sentence has one full stop, at its end. So no sentence is the beginning of another, and the end of
# a review adds no entropy.
OPENINGS = ("It is ", "It was ", "Simply ", "Honestly ", "I find it ", "I found it ", "My verdict: ", "All in all ")
WORDS = ("worthless", "dreadful", "awful", "terrible", "bad", "poor", "weak", "dull", "bland", "mediocre",
         "passable", "decent", "fine", "good", "solid", "great", "excellent", "superb", "brilliant", "perfect")
CLOSINGS = (".", " to me.", " overall.", " in the end.", " for the price.", ", in short.", ", I think.",
            ", so far.")
EDGES = np.linspace(-3.6, 3.6, len(WORDS) - 1)  # word k is used for a token between EDGES[k - 1] and EDGES[k]

_SENTENCES = [opening + word + closing for word in WORDS for opening in OPENINGS for closing in CLOSINGS]
_N_FRAMES = len(OPENINGS) * len(CLOSINGS)  # sentences with the same word, all equally likely
_CHARACTERS = np.array([ord(c) for c in "".join(_SENTENCES)], dtype=np.uint32)
_LENGTHS = np.array([len(sentence) for sentence in _SENTENCES])
_MEAN_LENGTHS = _LENGTHS.reshape(len(WORDS), -1).mean(1)  # float64 [n_words], characters of a review with the word
_MEAN_WORDS = np.mean([len(sentence.split()) for sentence in _SENTENCES])  # words of a review, whatever its word is


class Nats(NamedTuple):
    """−log p of reviews in nats: the mean per review, also divided by the mean numbers of words and characters.

    Words are separated by white space. If the end of a review is counted as one more character, it adds 0 nats.

    Examples
    --------
    >>> nats = Nats(per_review=4 * np.log(2), per_word=2 * np.log(2), per_character=np.log(2))
    >>> round(nats.word_perplexity, 4), round(nats.character_perplexity, 4)
    (4.0, 2.0)
    """

    per_review: float
    per_word: float
    per_character: float

    @property
    def word_perplexity(self):
        """float: exp of the nats per word. A uniform choice among this many words has the same entropy."""
        return float(np.exp(self.per_word))

    @property
    def character_perplexity(self):
        """float: exp of the nats per character."""
        return float(np.exp(self.per_character))


class ReviewEntropy(NamedTuple):
    """The entropy of one review of a random item.

    Examples
    --------
    >>> entropy = ReviewWorld().entropy()
    >>> [round(nats.character_perplexity, 4) for nats in (entropy.given_quality, entropy.marginal)]
    [1.2923, 1.3222]
    """

    given_quality: Nats  # for a reader who knows the item's quality
    marginal: Nats  # for a reader who knows nothing about the item


class ReviewOptimum(NamedTuple):
    """What the best possible predictor of ratings and reviews scores on a data set.

    It knows an item's earlier ratings and reviews, but not the rating and the review to predict. The rating is not
    predicted from its own review, nor the review from its own rating. The expected scores are given these pasts, and
    do not depend on the random ratings and reviews that are predicted.

    Examples
    --------
    >>> world = ReviewWorld(n_items=500)
    >>> train, valid, test = world.split(world.sample())
    >>> optimum = world.oracle(train, valid, test)
    >>> world.noise < optimum.expected_rmse < optimum.expected_rmse_without_text
    True
    """

    rmse: float
    rmse_without_text: float  # from the earlier ratings alone
    expected_rmse: float
    expected_rmse_without_text: float
    nats: Nats
    expected_nats: Nats


@dataclass(frozen=True)
class ReviewWorld:
    r"""Ratings of items, each with a review that carries a second noisy signal of the item's quality, the token y:

    .. math::
        q_j &\sim N(0, 1), \\
        r &= q_j + \sigma\, N(0, 1), \\
        y &= q_j + \sigma_t\, N(0, 1).

    A review is a sentence with one informative word: the bin of y among 20 graded words. The opening and the closing
    are drawn uniformly and independently, so there are 1,280 sentences. All users have the same taste. They are drawn
    uniformly with replacement. ``seed`` fixes each item's quality.

    If y itself were observed, the next rating could be predicted from n ratings and reviews with the RMSE

    .. math::
        \sqrt{\frac{1}{1 + n / \sigma^2 + n / \sigma_t^2} + \sigma^2}.

    A word carries a little less information than y. The table gives the mean over a million items, with default
    parameters. Its last column is the best possible perplexity per character of the next review, given the reviews
    before it:

    ==  ============  =========  ========  ==========
    n   without text  with text  y itself  perplexity
    ==  ============  =========  ========  ==========
    1   1.2247        1.1184     1.1169    1.3033
    3   1.1180        1.0490     1.0482    1.2972
    10  1.0445        1.0161     1.0158    1.2940
    ==  ============  =========  ========  ==========

    For a reader who knows the quality, the perplexity is 1.2923. For one who knows nothing about the item, it is
    1.3222.

    Parameters
    ----------
    n_items, n_users : int
    n : int, the past ratings of each item, each with a review
    noise : float > 0, σ
    text_noise : float > 0, σ_t
    text : "quality", or one of two controls in which reviews add nothing to the ratings. With "independent", y is
        drawn from :math:`N(0, 1 + \sigma_t^2)` for each review. With "rating", y is the rating itself.
    seed : int, of the qualities

    Raises
    ------
    ValueError
        A parameter is out of its range.

    Examples
    --------
    Two ratings of 2 and 0, whose reviews say "superb" and "solid". The words raise the posterior mean and lower its
    standard deviation.

    >>> world = ReviewWorld(n_items=4, n=2)
    >>> data = world.sample()
    >>> data.n_ratings, data.text(0).endswith(CLOSINGS)
    (12, True)
    >>> mean, sd = world.posterior([2.0, 0.0])
    >>> round(mean.item(), 4), round(sd.item(), 4)  # 2/3 and 1/√3
    (0.6667, 0.5774)
    >>> with_words = world.posterior([2.0, 0.0], [WORDS.index("superb"), WORDS.index("solid")])
    >>> print(with_words[0] > mean, with_words[1] < sd)
    True True
    """

    n_items: int = 2000
    n_users: int = 100
    n: int = 3
    noise: float = 1.0
    text_noise: float = 0.7
    text: str = "quality"
    seed: int = 0

    def __post_init__(self):
        if self.n_items < 2 or min(self.n_users, self.n) < 1:
            raise ValueError(f"there must be 2 items, 1 user and 1 rating in the past, or more: {self}")
        if min(self.noise, self.text_noise) <= 0:
            raise ValueError(f"noise and text_noise must be positive: {self}")
        if self.text not in ("quality", "independent", "rating"):
            raise ValueError(f"text must be quality, independent or rating, not {self.text!r}")

    @cached_property
    def user_ids(self):
        """array [n_users] of str."""
        return np.array([f"user-{i}" for i in range(self.n_users)], dtype=object)

    @cached_property
    def item_ids(self):
        """array [n_items] of str."""
        return np.array([f"item-{j}" for j in range(self.n_items)], dtype=object)

    @cached_property
    def quality(self):
        """q: float64 [n_items]."""
        return np.random.default_rng([self.seed, 0]).standard_normal(self.n_items)

    @property
    def path(self):
        """float64 [n + 1, n_items]: the quality on each day; here it stays what it is."""
        return np.broadcast_to(self.quality, (self.n + 1, self.n_items))

    # The data

    def sample(self, seed=0):
        """ReviewData of n + 1 days; on each day every item is reviewed once, in random order.

        Another ``seed`` gives other ratings and reviews of the same items. Another ``text`` gives the same ratings
        with other words.
        """
        rng = np.random.default_rng([self.seed, 1, seed])
        shape = self.n + 1, self.n_items
        items = rng.permuted(np.tile(np.arange(self.n_items), (self.n + 1, 1)), axis=1)
        users = rng.integers(self.n_users, size=shape)
        times = START + DAY * (np.arange(self.n + 1)[:, None] + np.sort(rng.random(shape), axis=1))
        q = np.take_along_axis(self.path, items, axis=1)
        ratings = q + self.noise * rng.standard_normal(shape)
        if self.text == "rating":
            y = ratings
        else:
            about = q if self.text == "quality" else rng.standard_normal(shape)
            y = about + self.text_noise * rng.standard_normal(shape)
        sentences = np.searchsorted(EDGES, y.ravel()) * _N_FRAMES + rng.integers(_N_FRAMES, size=y.size)
        starts = np.cumsum(_LENGTHS) - _LENGTHS
        return ReviewData(RatingData(users.ravel(), items.ravel(), ratings.ravel(), times.ravel(), self.user_ids,
                                     self.item_ids, "review-world"),
                          *_gathered(_CHARACTERS, starts[sentences], _LENGTHS[sentences]))

    def split(self, data):
        """Cut a sample into (train, valid, test): n days, then the two halves of the last day.

        Valid and test have different items. Each of them has n earlier ratings. All three are ReviewData.
        """
        past, half = self.n * self.n_items, self.n_items // 2
        return (data.take(slice(past)), data.take(slice(past, past + half)), data.take(slice(past + half, None)))

    def shuffled(self, data, seed=0):
        """The same ratings, each with the review of a random other rating. So the texts say nothing about the items.

        Do not use :meth:`oracle` on the result. It assumes that each review is about the item that it is stored with.

        Parameters
        ----------
        data : ReviewData
        seed : int, of the order

        Returns
        -------
        ReviewData
        """
        order = np.random.default_rng([self.seed, 2, seed]).permutation(data.n_ratings)
        return ReviewData(data.ratings, *_gathered(data.characters, data.offsets[:-1][order], data.lengths[order]))

    def tokens(self, data):
        """Read the informative word of each review of ReviewData: int64 [n_ratings], indices into ``WORDS``.

        Raises
        ------
        ValueError
            A review does not follow this grammar. The message quotes it.
        """
        text = data.characters.astype("<u4").tobytes().decode("utf-32-le")
        known = {sentence: i // _N_FRAMES for i, sentence in enumerate(_SENTENCES)}
        try:
            return np.array([known[text[a:b]] for a, b in pairwise(data.offsets.tolist())], dtype=np.int64)
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} is not a review of this world") from None

    # What can be known

    def log_words(self, q):
        r"""log P(word | q) for items of quality q, float64 [n], when the rating is not known: float64 [n_words, n].

        With "quality", :math:`P(k | q) = \Phi((b_k - q) / \sigma_t)` :math:`- \Phi((b_{k-1} - q) / \sigma_t)`, where
        the :math:`b_k` are the ``EDGES``.
        """
        about, spread = {"quality": (q, self.text_noise), "rating": (q, self.noise),
                         "independent": (np.zeros_like(q), np.hypot(1, self.text_noise))}[self.text]
        z = (np.concatenate([[-np.inf], EDGES, [np.inf]])[:, None] - about) / spread
        right = z[:-1] > 0  # mirror this side: differences of numbers near 1 would lose digits
        low, high = np.where(right, -z[1:], z[:-1]), np.where(right, -z[:-1], z[1:])
        return log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))

    @cached_property
    def _grid(self):
        """float64 [n_grid]: equally spaced qualities, on which a density is summed in place of an integral.

        Their distance is half of the posterior standard deviation after n ratings and n tokens y. After n words the
        standard deviation is at least as large, so the error of the sum is about exp(-8 π²).
        """
        return np.arange(-8, 8, 0.5 / np.sqrt(1 + self.n / self.noise**2 + self.n / self.text_noise**2))

    def _log_joint(self, known, q):
        """log of prior times likelihood, [..., n], up to a constant of each row.

        ``known`` [..., 2 + n_words] holds the sufficient statistics of an item's past: the number of its ratings,
        their sum, and the count of each word. ``q`` [n] are qualities.
        """
        words = self.log_words(q) if self.text == "quality" else np.zeros((len(WORDS), len(q)))
        return known @ np.vstack([-q**2 / (2 * self.noise**2), q / self.noise**2, words]) - q**2 / 2

    def _moments(self, known):
        """Posterior mean and variance of q [n], and the probabilities of the next review's word [n, n_words]."""
        pieces = np.array_split(known, 1 + len(known) // 4096)  # that fit into memory
        return map(np.concatenate, zip(*(self._moments_of(softmax(self._log_joint(rows, self._grid), axis=1))
                                         for rows in pieces)))

    def _moments_of(self, p):
        """The same from probabilities of the qualities on the grid, [n, n_grid]."""
        mean = p @ self._grid
        return mean, p @ self._grid**2 - mean**2, p @ np.exp(self.log_words(self._grid)).T

    def posterior(self, ratings, tokens=None):
        """Mean and standard deviation of the posterior of qualities, after some ratings and the words of their reviews.

        Parameters
        ----------
        ratings : float array [..., k]
        tokens : int64 array [..., m], optional
            Indices into ``WORDS``. They must be the words of the same ratings, unless ``text`` is "quality".

        Returns
        -------
        mean, sd : float64 arrays [...]
        """
        known = _known(ratings, tokens)
        mean, variance, _ = self._moments(known.reshape(-1, known.shape[-1]))
        return mean.reshape(known.shape[:-1]), np.sqrt(variance).reshape(known.shape[:-1])

    def density(self, q, ratings, tokens=None):
        """The posterior density at qualities q, float [n]: float64 [..., n]. The others are as in :meth:`posterior`."""
        known, step = _known(ratings, tokens), self._grid[1] - self._grid[0]
        total = logsumexp(self._log_joint(known, self._grid), axis=-1, keepdims=True)
        return np.exp(self._log_joint(known, q) - total) / step

    def entropy(self):
        """The entropy of the grammar, a ReviewEntropy. The optimum given any past lies between its two values."""
        prior, log_p = softmax(-self._grid**2 / 2), self.log_words(self._grid)
        marginal = np.exp(log_p) @ prior
        return ReviewEntropy(*(_nats(nats, _MEAN_WORDS, marginal @ _MEAN_LENGTHS) for nats in (
            -(np.exp(log_p) * log_p).sum(0) @ prior, -xlogy(marginal, marginal).sum())))

    def oracle(self, *parts):
        """The best possible scores on the last of these consecutive parts, given the parts before it.

        Each rating and each review is predicted from the earlier ratings and reviews of the same item, in all parts.
        On few ratings a model can be better by chance, but never in expectation. So compare on the same data.

        Parameters
        ----------
        *parts : ReviewData

        Returns
        -------
        ReviewOptimum

        Raises
        ------
        ValueError
            The item ids are not the world's, a review does not follow its grammar, or a part begins before the one
            before it ends.
        """
        seen, data = reduce(concatenate, [part.ratings for part in parts]), parts[-1]
        if not np.array_equal(seen.item_ids, self.item_ids):
            raise ValueError(f"the item_ids of {seen.name} differ from those of the world; take the data from its "
                             "sample()")
        tokens, n = np.concatenate([self.tokens(part) for part in parts]), data.n_ratings
        (mean, variance, words), (mean_blind, variance_blind, _) = self._forecasts(seen, tokens, n)
        rmse, rmse_blind = (float(np.sqrt(((m - data.ratings.ratings)**2).mean())) for m in (mean, mean_blind))
        expected, expected_blind = (float(np.sqrt(v.mean() + self.noise**2)) for v in (variance, variance_blind))
        said = np.count_nonzero(data.characters == ord(" ")) / n + 1
        return ReviewOptimum(
            rmse, rmse_blind, expected, expected_blind,
            _nats(-np.log(words[np.arange(n), tokens[-n:]]).mean(), said, data.n_characters / n),
            _nats(-xlogy(words, words).sum(1).mean(), _MEAN_WORDS, (words @ _MEAN_LENGTHS).mean()))

    def _forecasts(self, seen, tokens, n):
        """What `_moments` says before each of the last n ratings of ``seen``: from all, and without the words."""
        known = _before(seen.items, _known(seen.ratings[:, None], tokens[:, None]))[-n:]
        return [self._moments(known), self._moments(known * (np.arange(known.shape[1]) < 2))]


def _nats(of_word, words, characters):
    """Nats of a review, from the nats of its word and the mean numbers of words and characters of a review."""
    nats = of_word + np.log(_N_FRAMES)
    return Nats(float(nats), float(nats / words), float(nats / characters))


def _known(ratings, tokens):
    """The sufficient statistics, float64 [..., 2 + n_words], of ratings [..., k] and tokens [..., m] or None."""
    ratings = np.asarray(ratings, dtype=np.float64)
    if tokens is None:
        tokens = np.empty((*ratings.shape[:-1], 0), np.int64)
    n = np.full((*ratings.shape[:-1], 1), float(ratings.shape[-1]))
    said = (np.asarray(tokens)[..., None] == np.arange(len(WORDS))).sum(-2)
    return np.concatenate([n, ratings.sum(-1, keepdims=True), said], axis=-1)


def _before(items, known):
    """For each row of ``known`` [n, d], the sum of the earlier rows of the same item: [n, d]."""
    by_item = np.argsort(items, kind="stable")
    nth = np.arange(len(items)) - np.searchsorted(items[by_item], items[by_item])  # its number in its item, from 0
    sums, before = np.zeros((items.max() + 1, known.shape[1])), np.empty_like(known)
    in_rounds = by_item[np.argsort(nth, kind="stable")]  # round k takes the k-th row of all items together
    for now in np.split(in_rounds, np.cumsum(np.bincount(nth))[:-1]):
        before[now] = sums[items[now]]
        sums[items[now]] += known[now]
    return before


def _gathered(characters, starts, lengths):
    """The pieces of ``characters`` with these ``starts`` and ``lengths``, concatenated, and their offsets."""
    return characters[concatenated_ranges(starts, lengths)], np.append(0, np.cumsum(lengths))
