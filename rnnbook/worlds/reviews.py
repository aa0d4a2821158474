"""A world of ratings with reviews, in which what a text can tell about the next rating is known exactly."""

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

# A review is an opening, a word and a closing. The words are graded, worst first; the rest says nothing. Each
# sentence has one full stop, at its end: none begins another, so where one ends is no news after it.
OPENINGS = ("It is ", "It was ", "Simply ", "Honestly ", "I find it ", "I found it ", "My verdict: ", "All in all ")
WORDS = ("worthless", "dreadful", "awful", "terrible", "bad", "poor", "weak", "dull", "bland", "mediocre",
         "passable", "decent", "fine", "good", "solid", "great", "excellent", "superb", "brilliant", "perfect")
CLOSINGS = (".", " to me.", " overall.", " in the end.", " for the price.", ", in short.", ", I think.",
            ", so far.")
EDGES = np.linspace(-3.6, 3.6, len(WORDS) - 1)  # word k is said of a token between EDGES[k - 1] and EDGES[k]

_SENTENCES = [opening + word + closing for word in WORDS for opening in OPENINGS for closing in CLOSINGS]
_N_FRAMES = len(OPENINGS) * len(CLOSINGS)  # sentences with the same word, all as likely as another
_CHARACTERS = np.array([ord(c) for c in "".join(_SENTENCES)], dtype=np.uint32)
_LENGTHS = np.array([len(sentence) for sentence in _SENTENCES])
_MEAN_LENGTHS = _LENGTHS.reshape(len(WORDS), -1).mean(1)  # float64 [n_words], characters of a review with the word
_MEAN_WORDS = np.mean([len(sentence.split()) for sentence in _SENTENCES])  # the same with every word


class Nats(NamedTuple):
    """−log p of reviews in nats: the mean per review, and divided by mean lengths.

    A word is what white space divides. Where the end of a review counts as one more character, it adds 0 nats.

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
        """float: among how many words, all as likely, the choice would be as hard."""
        return float(np.exp(self.per_word))

    @property
    def character_perplexity(self):
        """float: the same of characters."""
        return float(np.exp(self.per_character))


class ReviewEntropy(NamedTuple):
    """The entropy of one review of an item drawn at random.

    Examples
    --------
    >>> entropy = ReviewWorld().entropy()
    >>> [round(nats.character_perplexity, 4) for nats in (entropy.given_quality, entropy.marginal)]
    [1.2923, 1.3222]
    """

    given_quality: Nats  # to a reader who knows the item's quality
    marginal: Nats  # to a reader who knows nothing of the item


class ReviewOptimum(NamedTuple):
    """What the best possible predictor of ratings and reviews scores on a data set.

    It knows an item's earlier ratings and reviews, but nothing of the pair to predict: the rating is not
    predicted from its review, nor the review from its rating. What is expected is so given those pasts, free
    of the luck of the draw of what is predicted.

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
    r"""Ratings of items, each with a review that carries one more noisy token of the item's quality:

    .. math::
        q_j \sim N(0, 1), \qquad r = q_j + \sigma\, N(0, 1), \qquad y = q_j + \sigma_t\, N(0, 1).

    A review is a sentence whose one telling word is the bin of y among 20 graded words; its opening and its
    closing are drawn uniformly and independently, so it is one of 1,280 sentences. Everyone's taste is alike:
    the users are interchangeable, drawn uniformly with replacement. An item's quality is fixed by ``seed``.

    If y itself were read, the ratings and reviews of n users would leave the next rating with the RMSE

    .. math::
        \sqrt{\frac{1}{1 + n / \sigma^2 + n / \sigma_t^2} + \sigma^2}.

    A word tells a little less. By default, the mean over a million items, and what a character of the next
    review costs the best reader of the reviews before it, as a perplexity:

    ==  ============  =========  ========  ==========
    n   without text  with text  y itself  perplexity
    ==  ============  =========  ========  ==========
    1   1.2247        1.1184     1.1169    1.3033
    3   1.1180        1.0490     1.0482    1.2972
    10  1.0445        1.0161     1.0158    1.2940
    ==  ============  =========  ========  ==========

    To a reader who knows the quality the perplexity is 1.2923, to one who knows nothing of the item 1.3222.

    Parameters
    ----------
    n_items, n_users : sizes
    n : ratings with a review of each item in the past
    noise : σ
    text_noise : σ_t
    text : "quality", or a control in which reviews are of no use beside the ratings: with "independent" y is
        :math:`N(0, 1 + \sigma_t^2)`, drawn anew for each review; with "rating" y is the rating itself
    seed : draws the qualities

    Examples
    --------
    Two ratings of 2 and 0 whose reviews say "superb" and "solid": the words raise the mean and lower the deviation.

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

    # The data

    def sample(self, seed=0):
        """ReviewData of n + 1 days, on each of which every item is reviewed once, in random order.

        Another ``seed`` gives other ratings and reviews of the same items; another ``text`` other words beside
        the same ratings.
        """
        rng = np.random.default_rng([self.seed, 1, seed])
        shape = self.n + 1, self.n_items
        items = rng.permuted(np.tile(np.arange(self.n_items), (self.n + 1, 1)), axis=1)
        users = rng.integers(self.n_users, size=shape)
        times = START + DAY * (np.arange(self.n + 1)[:, None] + np.sort(rng.random(shape), axis=1))
        q = self.quality[items]
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

        Valid and test are of different items, and each of these has n ratings before.
        """
        past, half = self.n * self.n_items, self.n_items // 2
        return (data.take(slice(past)), data.take(slice(past, past + half)), data.take(slice(past + half, None)))

    def shuffled(self, data, seed=0):
        """The same ratings, each with the review of another at random: texts as before that are about nothing.

        :meth:`oracle` believes that reviews are of the items they are with, so it has no say on these.
        """
        order = np.random.default_rng([self.seed, 2, seed]).permutation(data.n_ratings)
        return ReviewData(data.ratings, *_gathered(data.characters, data.offsets[:-1][order], data.lengths[order]))

    def tokens(self, data):
        """Read the telling word of each review: int64 [n_ratings], indices into ``WORDS``.

        Raises
        ------
        ValueError
            A review is not of this grammar; it is named.
        """
        text = data.characters.astype("<u4").tobytes().decode("utf-32-le")
        known = {sentence: i // _N_FRAMES for i, sentence in enumerate(_SENTENCES)}
        try:
            return np.array([known[text[a:b]] for a, b in pairwise(data.offsets.tolist())], dtype=np.int64)
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} is not a review of this world") from None

    # What can be known

    def log_words(self, q):
        r"""log P(word | q) of a review of an item of quality q, [n], before its rating is seen: float64 [n_words, n].

        With "quality", :math:`P(k | q) = \Phi((b_k - q) / \sigma_t) - \Phi((b_{k-1} - q) / \sigma_t)`.
        """
        about, spread = {"quality": (q, self.text_noise), "rating": (q, self.noise),
                         "independent": (np.zeros_like(q), np.hypot(1, self.text_noise))}[self.text]
        z = (np.concatenate([[-np.inf], EDGES, [np.inf]])[:, None] - about) / spread
        right = z[:-1] > 0  # mirrored, as differences from 1 would lose the digits of a small probability
        low, high = np.where(right, -z[1:], z[:-1]), np.where(right, -z[:-1], z[1:])
        return log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))

    @cached_property
    def _grid(self):
        """float64 [n_grid]: equally spaced qualities, on which the sum of a smooth density is its integral.

        Their distance is half of the standard deviation that n ratings and n tokens y would leave, and n words
        leave no less: the error is about exp(-8 π²).
        """
        return np.arange(-8, 8, 0.5 / np.sqrt(1 + self.n / self.noise**2 + self.n / self.text_noise**2))

    def _log_joint(self, known, q):
        """log of prior times likelihood, up to a constant of each row: [..., 2 + n_words] and [n] to [..., n].

        All that counts of an item's past is ``known``: the number of its ratings, their sum, and how often each
        word was said.
        """
        words = self.log_words(q) if self.text == "quality" else np.zeros((len(WORDS), len(q)))
        return known @ np.vstack([-q**2 / (2 * self.noise**2), q / self.noise**2, words]) - q**2 / 2

    def _moments(self, known):
        """Mean and variance of q [n], and the probabilities of the next review's word [n, n_words]."""
        grid, words, moments = self._grid, np.exp(self.log_words(self._grid)).T, []
        for rows in np.array_split(known, 1 + len(known) // 4096):  # so many rows at a time fit into memory
            p = softmax(self._log_joint(rows, grid), axis=1)
            mean = p @ grid
            moments.append((mean, p @ grid**2 - mean**2, p @ words))
        return map(np.concatenate, zip(*moments))

    def posterior(self, ratings, tokens=None):
        """What is known of qualities after some ratings and the words of their reviews.

        Parameters
        ----------
        ratings : float array [..., k]
        tokens : int64 array [..., m], optional
            Indices into ``WORDS``; only with text "quality" they need not be those of the ratings.

        Returns
        -------
        mean, sd : float64 arrays [...]
        """
        known = _known(ratings, tokens)
        mean, variance, _ = self._moments(known.reshape(-1, known.shape[-1]))
        return mean.reshape(known.shape[:-1]), np.sqrt(variance).reshape(known.shape[:-1])

    def density(self, q, ratings, tokens=None):
        """The posterior density at qualities q [n], after such ratings and words: float64 [..., n]."""
        known, step = _known(ratings, tokens), self._grid[1] - self._grid[0]
        total = logsumexp(self._log_joint(known, self._grid), axis=-1, keepdims=True)
        return np.exp(self._log_joint(known, q) - total) / step

    def entropy(self):
        """The entropy of the grammar, a ReviewEntropy: the optimum of any past lies between its two levels."""
        prior, log_p = softmax(-self._grid**2 / 2), self.log_words(self._grid)
        marginal = np.exp(log_p) @ prior
        return ReviewEntropy(*(_nats(nats, _MEAN_WORDS, marginal @ _MEAN_LENGTHS) for nats in (
            -(np.exp(log_p) * log_p).sum(0) @ prior, -xlogy(marginal, marginal).sum())))

    def oracle(self, *parts):
        """The best possible scores on the last of these consecutive parts, knowing the parts before it.

        Each rating and each review is predicted from what came before it of the same item, in the earlier parts
        and in its own; a ReviewOptimum. A model may pass it by luck on few ratings, never in expectation:
        compare on the same data.
        """
        seen, data = reduce(concatenate, [part.ratings for part in parts]), parts[-1]
        if not np.array_equal(seen.item_ids, self.item_ids):
            raise ValueError(f"{seen.name} has other item_ids than the world, whose qualities go by its own")
        tokens, n = np.concatenate([self.tokens(part) for part in parts]), data.n_ratings
        known = _before(seen.items, _known(seen.ratings[:, None], tokens[:, None]))[-n:]
        blind = known * (np.arange(known.shape[1]) < 2)  # without the words
        (mean, variance, words), (mean_blind, variance_blind, _) = map(self._moments, (known, blind))
        rmse, rmse_blind = (float(np.sqrt(((m - data.ratings.ratings)**2).mean())) for m in (mean, mean_blind))
        expected, expected_blind = (float(np.sqrt(v.mean() + self.noise**2)) for v in (variance, variance_blind))
        said = np.count_nonzero(data.characters == ord(" ")) / n + 1
        return ReviewOptimum(
            rmse, rmse_blind, expected, expected_blind,
            _nats(-np.log(words[np.arange(n), tokens[-n:]]).mean(), said, data.n_characters / n),
            _nats(-xlogy(words, words).sum(1).mean(), _MEAN_WORDS, (words @ _MEAN_LENGTHS).mean()))


def _nats(of_word, words, characters):
    """Nats of a review from those of its word, and from the mean numbers of words and characters of a review."""
    nats = of_word + np.log(_N_FRAMES)
    return Nats(float(nats), float(nats / words), float(nats / characters))


def _known(ratings, tokens):
    """Ratings [..., k] and tokens [..., m] or None to what counts of them: float64 [..., 2 + n_words]."""
    ratings = np.asarray(ratings, dtype=np.float64)
    if tokens is None:
        tokens = np.empty((*ratings.shape[:-1], 0), np.int64)
    n = np.full((*ratings.shape[:-1], 1), float(ratings.shape[-1]))
    said = (np.asarray(tokens)[..., None] == np.arange(len(WORDS))).sum(-2)
    return np.concatenate([n, ratings.sum(-1, keepdims=True), said], axis=-1)


def _before(items, known):
    """Sums of the rows ``known`` [n, d] of the same item before each of them [n, d]."""
    by_item = np.argsort(items, kind="stable")
    nth = np.arange(len(items)) - np.searchsorted(items[by_item], items[by_item])  # of the item's rows, from 0
    sums, before = np.zeros((items.max() + 1, known.shape[1])), np.empty_like(known)
    in_rounds = by_item[np.argsort(nth, kind="stable")]  # round k: the k-th row of every item that has one, at once
    for now in np.split(in_rounds, np.cumsum(np.bincount(nth))[:-1]):
        before[now] = sums[items[now]]
        sums[items[now]] += known[now]
    return before


def _gathered(characters, starts, lengths):
    """The ranges of ``characters`` from ``starts`` on, of these lengths, one after the other, and their offsets."""
    return characters[concatenated_ranges(starts, lengths)], np.append(0, np.cumsum(lengths))
