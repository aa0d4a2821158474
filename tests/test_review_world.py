"""The world of reviews against integrals and enumeration, and what must not beat its optimum."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from rnnbook import worlds
from rnnbook.interactions import DAY, RatingData, ReviewData
from rnnbook.metrics import evaluate_ratings, paired_difference
from rnnbook.worlds import reviews as review_world
from rnnbook.worlds.ratings import START
from rnnbook.worlds.reviews import CLOSINGS, EDGES, OPENINGS, WORDS, ReviewWorld

TEXTS = ["quality", "independent", "rating"]
TINY = ReviewWorld(n_items=20, n_users=5, n=3)
Q = np.linspace(-9, 9, 6001)  # a grid of our own, much finer than that of the world
PRIOR = norm.pdf(Q) * (Q[1] - Q[0])
BOUNDS = np.concatenate([[-np.inf], EDGES, [np.inf]])


class Fixed:
    """Predicts one number per item, float64 [n_items]."""

    def __init__(self, world, values):
        self.user_ids, self.item_ids = world.user_ids, world.item_ids
        self.values = np.broadcast_to(values, world.n_items)

    def follow(self, data):
        return self.values[data.items]


def word_given(q, token, world):
    """P(word | q) from the law of y, in its plain form."""
    about, spread = {"quality": (q, world.text_noise), "rating": (q, world.noise),
                     "independent": (0 * q, np.sqrt(1 + world.text_noise**2))}[world.text]
    return norm.cdf((BOUNDS[token + 1] - about) / spread) - norm.cdf((BOUNDS[token] - about) / spread)


def likelihood(q, ratings, tokens, world):
    said = [word_given(q, token, world) for token in tokens] if world.text == "quality" else []
    return np.prod([norm.pdf(r, q, world.noise) for r in ratings] + said, axis=0)


def moment(k, ratings, tokens, world):
    """Integral of q**k times prior and likelihood, to twelve digits."""
    return quad(lambda q: q**k * norm.pdf(q) * likelihood(np.array(q), ratings, tokens, world), -9, 9,
                points=[-1, 0, 1], epsabs=1e-13, epsrel=1e-12, limit=500)[0]


def past_of(world, data, i):
    """Ratings and tokens of the item of rating i that came before it."""
    before = (data.ratings.items == data.ratings.items[i]) & (data.ratings.times < data.ratings.times[i])
    return data.ratings.ratings[before], world.tokens(data)[before]


def arrays(posterior):
    return np.stack(posterior, axis=-1)


# The posterior is exact


@pytest.mark.parametrize("world", [TINY, replace(TINY, noise=0.5, text_noise=2.0), replace(TINY, text_noise=0.2, n=6),
                                   replace(TINY, text="independent"), replace(TINY, text="rating")])
def test_posterior_equals_numerical_integration(world):
    data = world.sample(seed=1)
    for i in [0, 25, 45, 79]:  # of the four days: nothing known, one rating, two, three
        ratings, tokens = past_of(world, data, i)
        total, first, second = (moment(k, ratings, tokens, world) for k in range(3))
        expected = first / total, np.sqrt(second / total - (first / total)**2)
        np.testing.assert_allclose(world.posterior(ratings, tokens), expected, rtol=0, atol=1e-9)


def test_extreme_tokens_and_ratings():
    """Far from where all expected it, and with little noise: still exact, and never a NaN."""
    for world in (TINY, replace(TINY, noise=0.05, text_noise=0.05)):
        assert np.isfinite(world.log_words(np.linspace(-8, 8, 99))).all()
        for ratings, tokens in (([-2.0], [19, 19]), ([3.0, 3.5], [0]), ([], [0, 19]), ([5.0], [19, 19, 19])):
            mean, sd = world.posterior(ratings, tokens)
            assert np.isfinite(mean) and sd > 0
    p = PRIOR * likelihood(Q, [-2.0], [19, 19], TINY)
    assert TINY.posterior([-2.0], [19, 19])[0] == pytest.approx(p @ Q / p.sum(), abs=1e-9)


def test_posterior_of_many_items_at_once():
    rng = np.random.default_rng(0)
    ratings, tokens = rng.standard_normal((4, 5, 3)), rng.integers(20, size=(4, 5, 2))
    mean, sd = TINY.posterior(ratings, tokens)
    assert mean.shape == sd.shape == (4, 5)
    for i, j in product(range(4), range(5)):
        expected = TINY.posterior(ratings[i, j], tokens[i, j])
        np.testing.assert_allclose((mean[i, j], sd[i, j]), expected, rtol=0, atol=1e-13)


def test_ratings_alone_are_a_normal_law():
    for k in (0, 1, 3):
        ratings = np.linspace(-1, 2, k)
        variance = 1 / (1 + k / 0.8**2)
        expected = variance * ratings.sum() / 0.8**2, np.sqrt(variance)
        np.testing.assert_allclose(replace(TINY, noise=0.8).posterior(ratings), expected, rtol=0, atol=1e-12)


def test_fine_bins_are_the_token_itself(monkeypatch):
    """With bins of .01 the closed form for y holds to 4e-5 (measured: 1.5e-5), and not with those of .4."""
    y, ratings = np.array([[0.3, -1.2], [1.9, 2.4], [-0.4, 0.7]]), np.array([[0.5], [-0.2], [1.0]])
    variance = 1 / (1 + 1 / 1.0**2 + 2 / 0.7**2)
    mean = variance * (ratings.sum(1) + y.sum(1) / 0.7**2)
    coarse, _ = TINY.posterior(ratings, np.searchsorted(EDGES, y))
    assert np.abs(coarse - mean).max() > 0.02
    monkeypatch.setattr(review_world, "EDGES", np.linspace(-6, 6, 1201) + 0.005)
    monkeypatch.setattr(review_world, "WORDS", range(1202))
    fine = TINY.posterior(ratings, np.searchsorted(review_world.EDGES, y + 1e-9))
    np.testing.assert_allclose(fine, (mean, np.full(3, np.sqrt(variance))), rtol=0, atol=4e-5)


def test_density_is_that_of_the_posterior():
    ratings, tokens = np.array([[0.4, 1.1], [-1.0, 0.0]]), np.array([[15], [3]])
    density, step = TINY.density(Q, ratings, tokens), Q[1] - Q[0]
    assert density.shape == (2, len(Q))
    mean = density @ Q * step
    np.testing.assert_allclose(density.sum(1) * step, 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose((mean, np.sqrt(density @ Q**2 * step - mean**2)), TINY.posterior(ratings, tokens),
                               rtol=0, atol=1e-9)
    np.testing.assert_allclose(TINY.density(Q, [0.5]), norm.pdf(Q, 0.25, np.sqrt(0.5)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", TEXTS)
def test_words_have_the_probabilities_of_their_bins(text):
    world = replace(TINY, text=text, noise=1.3)
    expected = [word_given(Q, token, world) for token in range(len(WORDS))]
    np.testing.assert_allclose(np.exp(world.log_words(Q)), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.exp(world.log_words(Q)).sum(0), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(world.log_words(-Q)[::-1], world.log_words(Q), rtol=1e-9)  # both tails keep their digits


@pytest.mark.parametrize("text", TEXTS[1:])
def test_controls_tell_nothing(text):
    world = ReviewWorld(text=text)
    ratings, tokens = np.random.default_rng(0).standard_normal((50, 3)), np.arange(150).reshape(50, 3) % 20
    np.testing.assert_array_equal(arrays(world.posterior(ratings, tokens)), arrays(world.posterior(ratings)))
    optimum = world.oracle(world.sample())
    assert optimum.rmse == optimum.rmse_without_text
    assert optimum.expected_rmse == optimum.expected_rmse_without_text
    assert (arrays(TINY.posterior(ratings, tokens)) != arrays(TINY.posterior(ratings))).all()


# The optimum is the optimum


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("parts", ["train, valid", "train, valid, test", "all"])
def test_oracle_equals_the_sum_over_reviews(text, parts):
    world = replace(TINY, text=text, noise=0.8)
    data = world.sample(seed=2)
    parts = {"all": (data,), "train, valid": world.split(data)[:2], "train, valid, test": world.split(data)}[parts]
    first = {1: 0, 2: 60, 3: 70}[len(parts)]
    last = first + parts[-1].n_ratings
    errors, variances, nats, entropies, lengths = ([[], []] for _ in range(5))
    mean_length = [np.mean([len(a + word + b) for a in OPENINGS for b in CLOSINGS]) for word in WORDS]
    for i in range(first, last):
        ratings, tokens = past_of(world, data, i)
        for kind, said in enumerate((tokens, [])):
            p = PRIOR * likelihood(Q, ratings, said, world) if len(ratings) else PRIOR
            p = p / p.sum()
            errors[kind].append(p @ Q - data.ratings.ratings[i])
            variances[kind].append(p @ Q**2 - (p @ Q)**2)
            words = np.array([word_given(Q, token, world) @ p for token in range(len(WORDS))])
            nats[kind].append(-np.log(words[world.tokens(data)[i]] / 64))
            entropies[kind].append(-(words * np.log(words / 64)).sum())
            lengths[kind].append(words @ mean_length)
    texts = [data.text(i) for i in range(first, last)]
    optimum = world.oracle(*parts)
    for kind, rmse, expected in ((0, optimum.rmse, optimum.expected_rmse),
                                 (1, optimum.rmse_without_text, optimum.expected_rmse_without_text)):
        assert rmse == pytest.approx(np.sqrt(np.mean(np.square(errors[kind]))), abs=1e-9)
        assert expected == pytest.approx(np.sqrt(np.mean(variances[kind]) + 0.8**2), abs=1e-9)
    total = np.sum(nats[0])
    assert optimum.nats == pytest.approx((total / len(texts), total / len(" ".join(texts).split()),
                                          total / len("".join(texts))), abs=1e-9)
    assert optimum.nats.character_perplexity == pytest.approx(np.exp(total / len("".join(texts))), abs=1e-9)
    assert optimum.nats.word_perplexity == pytest.approx(np.exp(total / len(" ".join(texts).split())), abs=1e-9)
    n_words = np.mean([len((a + "x" + b).split()) for a in OPENINGS for b in CLOSINGS])
    per_review = np.mean(entropies[0])
    assert optimum.expected_nats == pytest.approx((per_review, per_review / n_words,
                                                   np.sum(entropies[0]) / np.sum(lengths[0])), abs=1e-9)
    if text == "quality":
        assert optimum.expected_nats.per_review < np.mean(entropies[1]) - 0.01  # reviews foretell reviews


def test_expected_rmse_of_one_review_by_integration():
    """Over all words and ratings, 1.118438; the sample's mean is within 4 of its own standard errors."""
    world = ReviewWorld(n=1, n_items=20_000)
    q, r = np.linspace(-7, 7, 281), np.linspace(-9, 9, 361)[:, None]
    prior, likelihood = norm.pdf(q) * 0.05, norm.pdf(r, q, 1)
    seen = [likelihood * word_given(q, token, world) for token in range(len(WORDS))]
    variance = 1 - sum((((p * q) @ prior)**2 / (p @ prior)).sum() * 0.05 for p in seen)
    train, valid, test = world.split(world.sample())
    _, sd = world.posterior(train.ratings.ratings[:, None], world.tokens(train)[:, None])
    error = 4 * (sd**2).std() / np.sqrt(len(sd))
    assert error < 3e-4 and (sd**2).mean() == pytest.approx(variance, abs=error)
    assert np.sqrt(variance + 1) == pytest.approx(1.118438, abs=1e-6)
    assert world.oracle(train, valid, test).expected_rmse == pytest.approx(1.118438, abs=1e-4)


@pytest.mark.parametrize("n, without, y", [(1, 1.2247, 1.1169), (3, 1.1180, 1.0482), (10, 1.0445, 1.0158)])
def test_against_the_closed_form(n, without, y):
    """A word costs at most .0016 of RMSE beside y itself, and never gains."""
    world = ReviewWorld(n=n, n_items=10_000)
    optimum = world.oracle(*world.split(world.sample()))
    assert optimum.expected_rmse_without_text == pytest.approx(np.sqrt(1 / (1 + n) + 1), abs=1e-9)
    assert optimum.expected_rmse_without_text == pytest.approx(without, abs=5e-5)
    assert np.sqrt(1 / (1 + n + n / 0.7**2) + 1) == pytest.approx(y, abs=5e-5)
    assert y + 1e-4 < optimum.expected_rmse < y + 1.7e-3


@pytest.mark.parametrize("text", TEXTS)
def test_realised_agrees_with_expected(text):
    """Mean over ten draws, within 4 standard errors of normal errors; with the words taken as they are."""
    world = replace(ReviewWorld(n=1), text=text)
    draws = [world.oracle(*world.split(world.sample(seed))[::2]) for seed in range(10)]
    for name in ("rmse", "rmse_without_text"):
        realised = np.mean([getattr(optimum, name)**2 for optimum in draws])
        expected = np.mean([getattr(optimum, f"expected_{name}")**2 for optimum in draws])
        assert realised == pytest.approx(expected, rel=4 * np.sqrt(2 / 10_000))
    surprise = [o.nats.per_review - o.expected_nats.per_review for o in draws]  # sd over draws .023
    assert abs(np.mean(surprise)) < 4 * 0.023 / np.sqrt(10)
    gap = np.mean([o.rmse_without_text - o.rmse for o in draws])
    assert gap == pytest.approx(0.1063, abs=4 * 0.0123 / np.sqrt(10)) if text == "quality" else gap == 0  # sd .0123


def test_nobody_beats_it():
    world = ReviewWorld()
    train, _, test = world.split(world.sample())
    r, tokens = train.ratings, world.tokens(train)
    by_item = np.argsort(r.items, kind="stable").reshape(-1, world.n)
    best = evaluate_ratings(Fixed(world, world.posterior(r.ratings[by_item], tokens[by_item])[0]), test.ratings)
    optimum = world.oracle(train, test)
    assert best.rmse == pytest.approx(optimum.rmse, abs=1e-12)
    blind = evaluate_ratings(Fixed(world, world.posterior(r.ratings[by_item])[0]), test.ratings)
    assert blind.rmse == pytest.approx(optimum.rmse_without_text, abs=1e-12)
    wrong = replace(world, text_noise=0.2)
    rivals = [0.0, r.ratings.mean(), r.ratings[by_item].mean(1),
              wrong.posterior(r.ratings[by_item], tokens[by_item])[0],
              world.posterior(np.empty((world.n_items, 0)), tokens[by_item])[0]]  # the words without the ratings
    for rival in (blind, *(evaluate_ratings(Fixed(world, values), test.ratings) for values in rivals)):
        assert paired_difference(best, rival, "rmse")[2] < 0
    assert evaluate_ratings(Fixed(world, world.quality), test.ratings).rmse == pytest.approx(1, abs=4 / np.sqrt(2000))
    # Who believes in shuffled reviews is worse off than who does not read them.
    misled = world.oracle(world.shuffled(train), test)
    assert misled.rmse_without_text == optimum.rmse_without_text and misled.rmse > optimum.rmse_without_text + 0.05


def test_oracle_refuses_what_is_not_its_own():
    train, valid, _ = TINY.split(TINY.sample())
    with pytest.raises(ValueError, match="begins before"):
        TINY.oracle(valid, train)
    with pytest.raises(ValueError, match=r"item_ids of .* differ"):
        replace(TINY, n_items=21).oracle(train, valid)


# The grammar


def enumerated(world):
    """Every sentence and its probability at each quality of Q: float64 [n_sentences, len(Q)]."""
    sentences = list(product(OPENINGS, range(len(WORDS)), CLOSINGS))
    p = np.array([word_given(Q, token, world) / 64 for _, token, _ in sentences])
    return [a + WORDS[token] + b for a, token, b in sentences], p


@pytest.mark.parametrize("text", TEXTS)
def test_entropy_equals_enumeration(text):
    world = replace(TINY, text=text, text_noise=0.5)
    sentences, p = enumerated(world)
    marginal = p @ PRIOR
    assert marginal.sum() == pytest.approx(1, abs=1e-9)
    characters, words = marginal @ [len(s) for s in sentences], marginal @ [len(s.split()) for s in sentences]
    given = -(p * np.log(np.maximum(p, 1e-300))).sum(0) @ PRIOR
    for nats, expected in zip(world.entropy(), (given, -(marginal * np.log(marginal)).sum())):
        assert nats == pytest.approx((expected, expected / words, expected / characters), abs=1e-9)
    gain = np.diff([nats.per_review for nats in world.entropy()])[0]
    assert gain == pytest.approx(0, abs=1e-12) if text == "independent" else gain > 0.2


@pytest.mark.parametrize("text", TEXTS)
def test_entropy_is_the_mean_surprise_of_samples(text):
    """−log p of 40,000 reviews, given the quality behind each and given nothing, within 4 standard errors."""
    world = ReviewWorld(n_items=10_000, text=text)
    data = world.sample(seed=4)
    tokens, q = world.tokens(data), world.quality[data.ratings.items]
    p = [word_given(q, tokens, world), np.array([word_given(Q, k, world) @ PRIOR for k in range(len(WORDS))])[tokens]]
    for nats, each in zip(world.entropy(), p):
        surprise = -np.log(each / 64)
        assert surprise.mean() == pytest.approx(nats.per_review, abs=4 * surprise.std() / np.sqrt(10_000))
        assert surprise.sum() / data.n_characters == pytest.approx(nats.per_character, rel=0.005)
    lengths = data.lengths
    assert lengths.mean() == pytest.approx(nats.per_review / nats.per_character, abs=4 * lengths.std() / 200)


def test_the_optimum_lies_between_the_two_levels():
    """The perplexities that the world states; that of a draw of 10,000 items has a standard deviation of 4e-5."""
    given, marginal = (nats.character_perplexity for nats in ReviewWorld().entropy())
    assert (given, marginal) == pytest.approx((1.2923, 1.3222), abs=5e-5)
    sizes = [ReviewWorld(n=n, n_items=20_000) for n in (1, 3, 10)]
    levels = [world.oracle(*world.split(world.sample())).expected_nats.character_perplexity for world in sizes]
    assert levels == pytest.approx((1.3033, 1.2972, 1.2940), abs=2e-4)
    assert given < levels[2] < levels[1] < levels[0] < marginal


def test_every_sentence_parses_back():
    sentences = [(a + word + b, token) for a in OPENINGS for token, word in enumerate(WORDS) for b in CLOSINGS]
    assert len({sentence for sentence, _ in sentences}) == 8 * 20 * 8 == 1280
    assert all(sentence.index(".") == len(sentence) - 1 for sentence, _ in sentences)  # none begins another
    data = reviews([sentence for sentence, _ in sentences])
    np.testing.assert_array_equal(TINY.tokens(data), [token for _, token in sentences])
    assert TINY.tokens(data).dtype == np.int64
    assert TINY.tokens(data.take(slice(7, 9))).tolist() == [token for _, token in sentences[7:9]]
    for foreign in ("It is nice.", "It is good", "", "It is good. \U0001f600"):
        with pytest.raises(ValueError, match="not a review of this world"):
            TINY.tokens(reviews(["It is good.", foreign]))


def reviews(texts):
    n, codes = np.arange(len(texts)), [np.array([ord(c) for c in text], np.uint32) for text in texts]
    ratings = RatingData(n, n, n * 1.0, n * 1.0, n, n)
    return ReviewData(ratings, np.concatenate(codes), np.append(0, np.cumsum([len(code) for code in codes])))


# The world


def test_sample():
    world = ReviewWorld(n_items=500, n=4)
    data, r = world.sample(), world.sample().ratings
    assert r.name == "review-world" and r.n_ratings == 2500 and (np.diff(r.times) > 0).all()
    days = np.floor((r.times - START) / DAY).astype(int)
    np.testing.assert_array_equal(np.sort(days * 500 + r.items), np.arange(2500))  # each item once a day
    orders = r.items.reshape(5, 500)
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 0.2 for a, b in zip([np.arange(500), *orders], orders))
    assert (r.users.dtype, r.items.dtype, r.ratings.dtype) == (np.int64, np.int64, np.float64)
    assert (data.characters.dtype, data.offsets.dtype) == (np.uint32, np.int64)
    assert data.offsets[0] == 0 and data.offsets[-1] == len(data.characters) and len(data.offsets) == 2501
    per_user = np.bincount(r.users, minlength=100)
    assert len(per_user) == 100 and ((per_user - 25)**2 / 25).sum() < 161  # chi square, 99 degrees: p = 1e-4


def test_draws_are_told_by_their_seeds():
    def same(a, b):
        return a.ratings.sha256 == b.ratings.sha256, a.sha256 == b.sha256

    data = TINY.sample()
    assert same(data, ReviewWorld(n_items=20, n_users=5, n=3).sample()) == (True, True)
    assert same(data, TINY.sample(seed=1)) == same(data, replace(TINY, seed=1).sample()) == (False, False)
    for text in TEXTS[1:]:
        assert same(data, replace(TINY, text=text).sample()) == (True, False)
    np.testing.assert_array_equal(TINY.quality, replace(TINY, noise=2.0).quality)
    assert (TINY.quality != replace(TINY, seed=1).quality).all()


@pytest.mark.parametrize("text", TEXTS)
def test_ratings_and_words_are_what_the_law_says(text):
    world = ReviewWorld(n_items=20_000, n=1, text=text)
    data = world.sample(seed=3)
    q, tokens = world.quality[data.ratings.items], world.tokens(data)
    noise, n = data.ratings.ratings - q, len(q)
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=4 / np.sqrt(n))
    assert (world.quality.mean(), world.quality.std()) == pytest.approx((0, 1), abs=4 / np.sqrt(20_000))
    assert abs(np.corrcoef(noise, q)[0, 1]) < 4 / np.sqrt(n)
    expected = n * np.array([word_given(Q, k, world) @ PRIOR for k in range(len(WORDS))])
    assert ((np.bincount(tokens, minlength=20) - expected)**2 / expected).sum() < 60  # 19 degrees: p = 4e-6
    if text == "rating":
        np.testing.assert_array_equal(tokens, [np.sum(EDGES < r) for r in data.ratings.ratings])
    elif text == "independent":
        assert abs(np.corrcoef(tokens, q)[0, 1]) < 4 / np.sqrt(n)
        assert abs(np.corrcoef(tokens, data.ratings.ratings)[0, 1]) < 4 / np.sqrt(n)
    else:
        rest = tokens - np.arange(20) @ np.array([word_given(q, k, world) for k in range(len(WORDS))])
        assert np.corrcoef(tokens, q)[0, 1] > 0.8 and rest.std() == pytest.approx(0.7 / 0.4, rel=0.05)
        assert abs(np.corrcoef(rest, noise)[0, 1]) < 4 / np.sqrt(n)  # two independent looks at q
    # The rest of the sentence knows neither the word nor the quality.
    texts = [data.text(i) for i in range(n)]
    frames = np.array([[OPENINGS.index(a), CLOSINGS.index(b)] for a, b in
                       (text.split(WORDS[token]) for text, token in zip(texts, tokens))])
    counts = np.bincount(frames @ [8, 1], minlength=64)
    assert ((counts - n / 64)**2 / (n / 64)).sum() < 115  # 63 degrees: p = 6e-5
    for frame in (*frames.T, frames @ [8, 1]):
        assert abs(np.corrcoef(frame, tokens)[0, 1]) < 4 / np.sqrt(n) > abs(np.corrcoef(frame, q)[0, 1])


@pytest.mark.parametrize("n_items", [2, 21, 40])
def test_every_held_out_rating_has_its_n_reviews_before(n_items):
    world = replace(TINY, n_items=n_items)
    data = world.sample()
    train, valid, test = world.split(data)
    assert [part.n_ratings for part in (train, valid, test)] == [3 * n_items, n_items // 2, -(-n_items // 2)]
    assert (np.bincount(train.ratings.items, minlength=n_items) == 3).all()
    held_out = np.append(valid.ratings.items, test.ratings.items)
    np.testing.assert_array_equal(np.sort(held_out), np.arange(n_items))
    assert train.ratings.times[-1] < valid.ratings.times[0] <= valid.ratings.times[-1] < test.ratings.times[0]
    texts = [part.text(i) for part in (train, valid, test) for i in range(part.n_ratings)]
    assert texts == [data.text(i) for i in range(data.n_ratings)]


def test_shuffled_reviews_go_with_other_ratings():
    world = ReviewWorld(n_items=300)
    data = world.sample()
    other = world.shuffled(data)
    assert other.ratings.sha256 == data.ratings.sha256
    mine, theirs = ([each.text(i) for i in range(1200)] for each in (data, other))
    assert sorted(mine) == sorted(theirs) and sum(a == b for a, b in zip(mine, theirs)) < 30
    tokens = world.tokens(data), world.tokens(other)
    q = world.quality[data.ratings.items]
    assert np.corrcoef(tokens[0], q)[0, 1] > 0.75 and abs(np.corrcoef(tokens[1], q)[0, 1]) < 0.12
    np.testing.assert_array_equal(world.shuffled(data).characters, other.characters)
    assert [world.shuffled(data, seed=1).text(i) for i in range(1200)] != theirs


def test_what_is_not_said_is_as_documented():
    assert ReviewWorld() == ReviewWorld(n_items=2000, n_users=100, n=3, noise=1.0, text_noise=0.7, text="quality",
                                        seed=0)
    assert TINY.sample().sha256 == TINY.sample(seed=0).sha256
    data = TINY.sample()
    np.testing.assert_array_equal(TINY.shuffled(data).characters, TINY.shuffled(data, seed=0).characters)


def test_the_numbers_of_a_seed_stay():
    """Another order of draws would be another world under the same name, and the result files of the old one."""
    world = ReviewWorld(n_items=3, n_users=4, n=1)
    data = world.sample(seed=2)
    assert data.ratings.users.tolist() == [2, 3, 3, 0, 1, 0] and data.ratings.items.tolist() == [1, 0, 2, 0, 1, 2]
    np.testing.assert_allclose(data.ratings.ratings, [-0.573876, 0.487645, 1.560834, 0.769234, 0.555528, 0.634898],
                               atol=1e-6)
    texts = ["I found it passable, I think.", "I find it bland for the price.", "It is good in the end.",
             "Simply good, I think.", "It was decent.", "I find it decent, so far."]
    assert [data.text(i) for i in range(6)] == texts
    other = world.shuffled(data, seed=1)
    assert [other.text(i) for i in range(6)] == [texts[i] for i in (5, 1, 0, 2, 4, 3)]


def test_the_smallest_world():
    """What lies on a bound is allowed."""
    world = ReviewWorld(n_items=2, n_users=1, n=1)
    assert [part.n_ratings for part in world.split(world.sample())] == [2, 1, 1]


def test_bad_parameters():
    for wrong, message in (({"n_items": 1}, "2 items"), ({"n_users": 0}, "1 user"), ({"n": 0}, "1 rating"),
                           ({"noise": 0}, "noise"), ({"text_noise": -1}, "noise"), ({"text_noise": 0}, "noise"),
                           ({"text": "none"}, "not 'none'")):
        with pytest.raises(ValueError, match=message):
            ReviewWorld(**wrong)


def test_it_is_among_the_worlds():
    assert worlds.ReviewWorld is ReviewWorld
