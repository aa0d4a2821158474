"""The questions of the two written exams: numbers are drawn, solutions are computed from them.

A question is a function of a random generator. It returns its parts: (text, solution, marks), where marks is a list of
(points, what they are given for). Texts are Markdown without formulas in TeX, so that they print anywhere.
"""

from __future__ import annotations

from math import exp, log, sqrt, tanh

A, B = [], []  # the questions of the exams, in order: (chapter, objectives, title, function)


def asked(exam, chapter, objectives, title):
    """Put the question into an exam; its objectives have their numbers on the page for instructors."""
    def put(function):
        exam.append((chapter, objectives, title, function))
        return function
    return put


def n(value):
    """A number as it stands in a text: three digits."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits, _, power = f"{value:.3g}".partition("e")
    return (f"{digits} · 10<sup>{int(power)}</sup>" if power else digits).replace("-", "−")


def vector(values):
    return "(" + ", ".join(map(n, values)) + ")"


# The first exam


@asked(A, 1, ["1.1", "1.2"], "Back through two steps")
def back_through_time(rng):
    w, u, x1, x2, y = (rng.choice(values) for values in ((0.5, 0.8, 1.2), (0.6, 0.7, 0.9), (1, 2), (-1, 1), (0, 1)))
    h1 = tanh(w * x1)
    h2 = tanh(w * x2 + u * h1)
    to_h1 = (h2 - y) * (1 - h2**2) * u
    return [
        (f"A recurrent network has one number as its state: h<sub>t</sub> = tanh(w x<sub>t</sub> + u h<sub>t−1</sub>), "
         f"h<sub>0</sub> = 0, w = {n(w)}, u = {n(u)}. It reads x<sub>1</sub> = {n(x1)} and x<sub>2</sub> = {n(x2)}. "
         f"The loss is L = (h<sub>2</sub> − y)² / 2 with y = {n(y)}. Compute h<sub>1</sub> and h<sub>2</sub>.",
         f"h<sub>1</sub> = tanh({n(w * x1)}) = {n(h1)}, h<sub>2</sub> = tanh({n(w * x2 + u * h1)}) = {n(h2)}.",
         [(2, "h<sub>1</sub>"), (2, "h<sub>2</sub>, also with a wrong h<sub>1</sub> carried on")]),
        ("Compute ∂L/∂h<sub>1</sub> and ∂L/∂u.",
         f"∂L/∂h<sub>1</sub> = (h<sub>2</sub> − y)(1 − h<sub>2</sub>²) u = {n(to_h1)}. Since h<sub>0</sub> = 0, u acts "
         f"in the second step alone: ∂L/∂u = (h<sub>2</sub> − y)(1 − h<sub>2</sub>²) h<sub>1</sub> = "
         f"{n(to_h1 / u * h1)}.",
         [(3, "∂L/∂h<sub>1</sub>"), (3, "∂L/∂u"), (1, "says why the first step adds nothing to ∂L/∂u")]),
        ("Now the network reads 21 clicks. How large can the size of ∂h<sub>21</sub>/∂h<sub>1</sub> be at most, and "
         "why? Why may the bound be far above the truth?",
         f"It is a product of 20 factors (1 − h<sub>t</sub>²) u, each of size at most {n(u)}. So it is at most "
         f"{n(u)}<sup>20</sup> = {n(u**20)}. The bound takes every derivative of tanh as 1, which holds at "
         f"h<sub>t</sub> = 0 only.",
         [(2, "a product of 20 factors"), (1, "the bound"), (1, "the derivative of tanh is below 1")])]


@asked(A, 2, ["2.1", "2.4"], "Lanes and ranks")
def lanes_and_ranks(rng):
    lengths = rng.sample([2, 3, 4, 5], 4)
    names = "ABCD"
    queues = [[], []]
    for name, length in zip(names, lengths):
        min(queues, key=len).extend(f"{name}{k}" + " (reset)" * (k == 1) for k in range(1, length))
    rows = "; ".join(f"lane {lane}: {', '.join(queue)}" for lane, queue in enumerate(queues, 1))
    target, tied, above, k = rng.choice([0.4, 0.6]), rng.choice([1, 2]), rng.choice([2, 3]), 5
    scores = [0.9 - 0.05 * i for i in range(above)] + [target] * (tied + 1) + [0.2, 0.1]
    rank = above + tied + 1
    best, last, network = rng.choice([(0.6, 0.4, 0.5), (0.65, 0.45, 0.6), (0.7, 0.5, 0.55)])
    return [
        (f"Sessions A, B, C and D have {', '.join(map(str, lengths[:3]))} and {lengths[3]} clicks: A1, A2 and so on. "
         "Two lanes read them session-parallel, in this order; a lane that is free takes the next session. Write down "
         "which click each lane reads in each step, and where it is reset. If both lanes are free, the first one "
         "chooses.",
         f"The last click of a session is never read. {rows}.",
         [(3, "the right clicks in each lane"), (2, "no last click is read"), (2, "a reset at each first click")]),
        (f"In a world that is known, Recall@20 of the optimum is {n(best)} and that of the best method that sees the "
         f"last click alone is {n(last)}. A GRU has {n(network)}, and neighbours have {n(network - 0.01)}. Which share "
         "of the way between the first two has the GRU gone? What do the neighbours add to the comparison?",
         f"({n(network)} − {n(last)}) / ({n(best)} − {n(last)}) = {n((network - last) / (best - last))}. Neighbours "
         "see the same clicks and cost little: the distance to them says what the network itself adds, here next to "
         "nothing.",
         [(1, "share"), (1, "neighbours as rivals")]),
        (f"A model scores the items of a small shop: {vector(scores)}. The target has the score {n(target)}, as "
         f"{'another item does' if tied == 1 else 'two others do'}. Give its rank if ties count against the model, "
         f"Recall@{k} and MRR@{k} of this one prediction, and the same for a model that gives all {len(scores)} items "
         "the same score. Why do ties count against the model?",
         f"{above} items are above it and {tied} beside it, so the rank is {rank}, Recall@{k} is {int(rank <= k)} and "
         f"MRR@{k} is {n(1 / rank if rank <= k else 0)}. With equal scores the rank is {len(scores)} and both are 0. "
         "If ties counted for the model, this one, which knows nothing, would have the rank 1.",
         [(2, "rank"), (2, "Recall and MRR"), (1, "the last rank and its measures"), (1, "why")])]


@asked(A, 3, ["3.2", "3.3"], "A teacher from the future")
def teacher(rng):
    squared, visits = rng.choice([0.01, 0.02]), rng.choice([5, 20])
    b, c = rng.choice([0.3, 0.4]), rng.choice([0.5, 0.6])
    best = b / (c + visits * squared)
    dropped = rng.choice([1, 2])
    session = ["a", "b", "c", "d"]
    pairs = "; ".join(f"{''.join(s for i, s in enumerate(session[:r]) if i != dropped) or '(nothing)'} → {session[r]}"
                      for r in range(1, 4))
    return [
        (f"A student learns from labels with the weight 1 − λ and from a teacher that sees the future alone with the "
         f"weight λ. After n visits to a context its squared error is λ²B + (a − 2bλ + cλ²) / n. Derive the best λ, "
         f"and compute it for B = {n(squared)}, b = {n(b)}, c = {n(c)}, n = {visits}.",
         f"The derivative 2λB + (−2b + 2cλ) / n is zero for λ = b / (c + nB) = {n(b)} / {n(c + visits * squared)} = "
         f"{n(best)}.", [(2, "derivative"), (3, "formula"), (1, "number")]),
        ("What happens to the best λ as n grows, and why? How is the teacher changed so that this is no longer so?",
         "It falls to 0 as 1/n. The variance falls with n and the bias does not, so with many visits the labels are "
         "better. The bias is there because the teacher does not see the past; a teacher that sees past and future has "
         "none.", [(2, "falls to 0"), (2, "the bias stays, the variance falls"), (1, "the teacher sees the past, "
         "too")]),
        (f"The session is a, b, c, d. Click deletion removes {session[dropped]} from the evidence. Write down all "
         "training pairs (clicks before → target).", f"{pairs}. No target is deleted.",
         [(3, "the pairs"), (1, "the deleted click is still a target")])]


@asked(A, 4, ["4.2", "4.3"], "A taste that moves")
def moving_taste(rng):
    rho, noise, r1, r2 = rng.choice([0.8, 0.9]), rng.choice([0.5, 1.0]), rng.choice([1.0, 2.0]), rng.choice([-1.0, 0.0])
    gain1 = 1 / (1 + noise)
    mean1, variance1 = gain1 * r1, 1 - gain1
    before, spread = rho * mean1, rho**2 * variance1 + 1 - rho**2
    gain2 = spread / (spread + noise)
    times = rng.choice([(2, 5, 5, 7), (1, 3, 6, 6)])
    ask = times[2]
    seen = sum(time < ask for time in times)
    return [
        (f"A taste u moves by u<sub>t</sub> = ρ u<sub>t−1</sub> + √(1 − ρ²) ε<sub>t</sub> with ρ = {n(rho)}; before "
         f"any rating it has the mean 0 and the variance 1. A rating is the taste with noise of the variance "
         f"{n(noise)}. The first rating is {n(r1)}. Give the gain of the Kalman filter, and mean and variance of the "
         "taste after this rating.",
         f"K = 1 / (1 + {n(noise)}) = {n(gain1)}, the mean is K · {n(r1)} = {n(mean1)}, the variance 1 − K = "
         f"{n(variance1)}.", [(2, "gain"), (2, "mean"), (1, "variance")]),
        (f"One step later there is a second rating, {n(r2)}. Compute what the filter predicts for it, the gain, and "
         "the mean afterwards. Is the second gain what it would be if the taste stood still?",
         f"It predicts ρ · {n(mean1)} = {n(before)}. The variance has grown to ρ² · {n(variance1)} + 1 − ρ² = "
         f"{n(spread)}, so K = {n(gain2)}, and the mean is {n(before)} + K ({n(r2)} − {n(before)}) = "
         f"{n(before + gain2 * (r2 - before))}. With a taste that stands still it would be {n(variance1)} / "
         f"{n(variance1 + noise)} = {n(variance1 / (variance1 + noise))}, less: what is old would count as much.",
         [(1, "prediction"), (2, "variance and gain"), (1, "mean"), (2, "compares, and says why")]),
        (f"A user has rated at the times {', '.join(map(str, times))}. Which of these ratings may a model have read "
         f"when it predicts a rating at the time {ask}? Describe a test that notices if it has read more.",
         f"Those strictly before {ask}: {seen} of them. Change the value of a rating and compare the predictions: only "
         "those of later times may move.", [(2, "the number"), (2, "a test that would fail")])]


@asked(A, 5, ["5.2", "5.4"], "What a review is worth")
def worth_of_a_review(rng):
    sigma, token, ratings = rng.choice([1.0, 0.8]), rng.choice([0.5, 0.4]), rng.choice([(1.0, 2.0), (0.5, 1.5)])
    word = rng.choice([0.5, 1.0])
    plain = 1 + 2 / sigma**2
    both = plain + 1 / token**2
    total = sum(ratings) / sigma**2
    return [
        (f"The quality of an item is q ~ N(0, 1). A rating is q with noise of the standard deviation {n(sigma)}, and "
         f"the word of a review is q with other noise of the deviation {n(token)}. An item has the ratings "
         f"{n(ratings[0])} and {n(ratings[1])}. Give mean and standard deviation of its quality, first without a "
         f"review, then with a review whose word is {n(word)}.",
         f"Precisions add up. Without: 1 + 2 / {n(sigma**2)} = {n(plain)}, mean {n(total)} / {n(plain)} = "
         f"{n(total / plain)}, deviation {n(plain**-0.5)}. With: {n(plain)} + 1 / {n(token**2)} = {n(both)}, mean "
         f"{n((total + word / token**2) / both)}, deviation {n(both**-0.5)}.",
         [(2, "precisions"), (2, "means"), (2, "deviations, not variances")]),
        ("How many ratings without text say as much as one rating with its review? For which items does a review pay?",
         f"(1/σ² + 1/σ<sub>t</sub>²) / (1/σ²) = 1 + {n(sigma**2)} / {n(token**2)} = {n(1 + sigma**2 / token**2)}. It "
         "pays for items with few ratings; with many, little is left to be learned.",
         [(3, "the number"), (1, "items with few ratings")]),
        ("A model gains 0.5 % from reviews. Design a control that says whether the gain comes from what the reviews "
         "say, and name what else has to be reported before the gain is believed.",
         "Give every rating the review of another one and train again, with all else as it was. A gain that stays has "
         "nothing to do with the text. Report an interval over seeds and users, from paired differences.",
         [(2, "shuffled reviews"), (1, "all else equal"), (2, "an interval, or several seeds")])]


@asked(A, 6, ["6.1", "6.2"], "Attention and a recurrence by hand")
def by_hand(rng):
    q, k1, k2, v1, v2 = 1, 0, rng.choice([1, 2]), rng.choice([1.0, 2.0]), rng.choice([4.0, 6.0])
    weight = exp(q * k2) / (1 + exp(q * k2))
    a, x = rng.choice([0.5, 0.8]), rng.choice([(1, 2, 4), (2, 0, 1)])
    h = [x[0]]
    for value in x[1:]:
        h.append(a * h[-1] + value)
    clicks = rng.choice([50, 100, 200])
    rounds = (clicks - 1).bit_length()
    return [
        (f"Causal attention in one dimension: the queries are q<sub>1</sub> = q<sub>2</sub> = {q}, the keys "
         f"k<sub>1</sub> = {k1} and k<sub>2</sub> = {k2}, the values v<sub>1</sub> = {n(v1)} and v<sub>2</sub> = "
         f"{n(v2)}. Compute both outputs. Which of them changes if v<sub>2</sub> changes?",
         f"The first place sees itself alone: {n(v1)}. The second has the weights {n(1 - weight)} and {n(weight)}: "
         f"{n((1 - weight) * v1 + weight * v2)}. The second alone.",
         [(2, "first output"), (3, "second output"), (1, "causal")]),
        (f"A linear recurrence is h<sub>t</sub> = {n(a)} h<sub>t−1</sub> + x<sub>t</sub>, h<sub>0</sub> = 0, with x = "
         f"{vector(x)}. Join the last two steps into one, h<sub>3</sub> = A h<sub>1</sub> + b, and compute "
         "h<sub>3</sub> with it.",
         f"A = {n(a)}² = {n(a * a)}, b = {n(a)} · {n(x[1])} + {n(x[2])} = {n(a * x[1] + x[2])}. So h<sub>3</sub> = "
         f"{n(a * a)} · {n(x[0])} + {n(a * x[1] + x[2])} = {n(h[2])}.",
         [(2, "A"), (2, "b"), (1, "h<sub>3</sub>")]),
        (f"How many rounds does a scan need for {clicks} clicks? Why can the states of a GRU not be computed by a "
         "scan?",
         f"{rounds}, since 2<sup>{rounds}</sup> ≥ {clicks} > 2<sup>{rounds - 1}</sup>. The gates of a GRU depend on "
         "the state before, so two steps cannot be joined before this state is known.",
         [(2, "rounds"), (2, "the gates need the state")])]


# The second exam


@asked(B, 1, ["1.3", "1.4"], "Gates")
def gates(rng):
    clicks, open_, steps = rng.choice([5, 10, 20]), rng.choice([0.5, 0.6]), rng.choice([10, 20])
    f = 2 ** (-1 / clicks)
    return [
        (f"A cell keeps c<sub>t</sub> = f c<sub>t−1</sub> with the gate f = sigmoid(b). Which bias b makes a gradient "
         f"along the cell half as large after {clicks} steps?",
         f"f<sup>{clicks}</sup> = 1/2, so f = {n(f)} and b = log(f / (1 − f)) = {n(log(f / (1 - f)))}.",
         [(3, "f"), (3, "b")]),
        (f"The gate of an LSTM stands at {n(open_)} when training begins. What share of a gradient is left after "
         f"{steps} steps? What follows for “an LSTM has no vanishing gradients”?",
         f"{n(open_)}<sup>{steps}</sup> = {n(open_**steps)}. It is not so at the beginning: the gates have to be open, "
         "for instance by a bias, before the network can learn to open them.",
         [(2, "the share"), (2, "the sentence is wrong with half-open gates")]),
        ("A vanilla RNN fails to keep one of four cues over forty steps after training. Name two explanations, and an "
         "experiment that tells them apart.",
         "It cannot store the cue, or it can and has not learned to. Set weights by hand that store it, for instance "
         "with a state that keeps its sign: if they work, it could. Or look at the gradient over forty steps at the "
         "beginning of training.",
         [(2, "both explanations"), (3, "an experiment with weights set by hand, or with another start")])]


@asked(B, 2, ["2.2", "2.3"], "Losses and negatives")
def losses(rng):
    target, easy, hard = rng.choice([1.0, 2.0]), rng.choice([-3.0, -4.0]), rng.choice([2.0, 3.0])

    def pull(score):
        return 1 / (1 + exp(target - score))

    now, usual = rng.choice([(0.3, 0.2, 0.05), (0.24, 0.3, 0.06)]), (0.3, 0.1, 0.01)
    lift = [p / q for p, q in zip(now, usual)]
    names = "LMN"
    def order(values):
        return ", ".join(name for _, name in sorted(zip(values, names), reverse=True))
    return [
        (f"BPR is the mean of −log σ(r<sub>i</sub> − r<sub>j</sub>) over the negatives j. The target has the score "
         f"r<sub>i</sub> = {n(target)}, two negatives have {n(easy)} and {n(hard)}. Compute the gradient of the loss "
         "with respect to r<sub>i</sub>, and which share of it each negative gives.",
         f"−(σ({n(easy - target)}) + σ({n(hard - target)})) / 2 = −({n(pull(easy))} + {n(pull(hard))}) / 2 = "
         f"{n(-(pull(easy) + pull(hard)) / 2)}. The hard negative gives {n(pull(hard) / (pull(easy) + pull(hard)))} of "
         "it.",
         [(2, "derivative"), (2, "number"), (2, "shares")]),
        ("What happens to this gradient when 2,046 more negatives like the first are added? How does BPR-max avoid it?",
         "The mean is over 2,048 negatives and nearly all are easy, so the gradient goes to almost nothing, although "
         "one item is still above the target. BPR-max weights each negative by a softmax of the scores, so the hard "
         "one keeps its weight.", [(2, "it nearly vanishes"), (2, "weights by softmax")]),
        (f"Three items L, M and N have {', '.join(f'{p:.0%}' for p in usual)} of all clicks. In this session their "
         f"probabilities are {', '.join(f'{p:.0%}' for p in now)}. In which order does a model put them that was "
         "trained with uniform negatives, and one whose negatives were drawn in proportion to their clicks?",
         f"Uniform: by probability, {order(now)}. Popular: by the lift, {vector(lift)}, so {order(lift)}.",
         [(2, "by probability"), (2, "by lift"), (1, "the lifts")])]


@asked(B, 3, ["3.1", "3.4"], "Prefixes and a cosine")
def prefixes(rng):
    clicks, items, width, batch = rng.choice([6, 8, 12]), rng.choice([1, 2]), rng.choice([50, 100]), 100
    a = rng.choice([(0.6, 0.8), (0.8, 0.6)])
    cosine = a[0]
    return [
        (f"A session has {clicks} clicks. How many clicks does a GRU read if each prefix that has a next click is fed "
         "by itself, and how many if the session is fed once? Why are loss and gradient the same?",
         f"1 + 2 + … + {clicks - 1} = {clicks * (clicks - 1) // 2}, and {clicks - 1}. The state after a prefix is the "
         "same in both cases, so each prediction is; the loss is the same sum.",
         [(2, "each prefix"), (1, "once"), (3, "same states, same sum")]),
        (f"A network points at the next item's vector; its loss is 1 − cosine. The output is {vector(a)}, the item's "
         "vector (1, 0). Compute the loss. Then the vectors of all items are trained, too. Which solution has the loss "
         "0, and why is it of no use?",
         f"1 − {n(cosine)} = {n(1 - cosine)}. All vectors in one direction: the output points there always. Then all "
         "items have the same cosine, and no ranking is left.",
         [(2, "loss"), (2, "all vectors alike"), (1, "no ranking")]),
        (f"A catalogue has {items} million items. An output layer with a softmax multiplies states by a matrix of "
         f"width {width}. How many multiplications does it need for a batch of {batch} predictions, and how many with "
         "a cosine loss without negatives? What did the negatives do that is missing then?",
         f"{items} million · {width} · {batch} = {n(items * 1e6 * width * batch)}, and {width} · {batch} = "
         f"{n(width * batch)}, up to a factor for the lengths. Negatives push items apart.",
         [(2, "both numbers"), (2, "negatives keep items apart")])]


@asked(B, 4, ["4.1", "4.4"], "Old ratings")
def old_ratings(rng):
    gamma, ages, ratings = rng.choice([0.5, 0.8]), (0, 1, 3), rng.choice([(2, 1, -1), (1, 2, 0)])
    weights = [gamma**age for age in ages]
    total = sum(w * r for w, r in zip(weights, ratings))
    penalty = 1
    day = rng.choice([3, 4])
    return [
        (f"A user's taste is one number, estimated by a ridge regression on films with q = 1 and the penalty "
         f"{penalty}; a rating of the age d days has the weight γ<sup>d</sup>. Ratings of the ages 0, 1 and 3 are "
         f"{', '.join(map(n, ratings))}. Compute the estimate for γ = {n(gamma)} and for γ = 1.",
         f"Σ w r / (Σ w + {penalty}): {n(total)} / {n(sum(weights) + penalty)} = {n(total / (sum(weights) + penalty))} "
         f"with the weights {vector(weights)}, and {n(sum(ratings))} / 4 = {n(sum(ratings) / 4)}.",
         [(2, "weights"), (2, "estimate"), (2, "without forgetting")]),
        (f"Anna rates film 1 on day 1, film 2 on day {day} and film 3 on day {day + 1}; Bert rates film 2 on day 2. "
         f"Write down the sequences that the LSTM of Anna and that of film 2 have read when Anna's rating on day {day} "
         "is predicted.",
         "Anna's: her rating of film 1. The film's: Bert's rating of day 2. Nothing of that day or later.",
         [(2, "Anna's"), (2, "the film's"), (1, "not the rating itself")]),
        ("An RRN beats a matrix factorisation that was trained once, before the test. Why is this no proof that it "
         "follows moving tastes? Name a rival with which it would be one.",
         "The RRN reads the ratings of the test period and the factorisation does not; being up to date is worth "
         "something without any drift. A rival that is solved again after each rating, and one of these that forgets.",
         [(2, "reads more ratings"), (2, "a rival with the same ratings that forgets")])]


@asked(B, 5, ["5.1", "5.3"], "Text that is not there")
def text(rng):
    lengths, nats = rng.choice([(19, 9), (29, 9)]), rng.choice([(30.0, 20.0), (45.0, 18.0)])
    per = sum(nats) / (sum(lengths) + 2)
    vocabulary = rng.choice([20, 30, 50])
    return [
        (f"Two reviews have {lengths[0]} and {lengths[1]} characters. The network needs {n(nats[0])} and {n(nats[1])} "
         "nats for them, their ends included. Compute the perplexity per character; the end counts as one.",
         f"exp({n(sum(nats))} / ({lengths[0] + 1} + {lengths[1] + 1})) = exp({n(per)}) = {n(exp(per))}.",
         [(3, "one mean over all characters"), (2, "the ends"), (1, "number")]),
        (f"A network that knows nothing gives each of {vocabulary} characters the same probability. What is its "
         "perplexity? Why does a perplexity near the optimum say little about a gain in ratings?",
         f"It is {vocabulary}. Most characters follow from spelling; the few that say something about the item hardly "
         "change the mean.", [(2, "number"), (2, "most of the text has nothing to do with the item")]),
        ("No review exists when a rating is predicted. Explain how reviews can still improve the prediction, and what "
         "happens if the part that writes reviews gets vectors of its own for the items.",
         "In training the vectors of users and items must explain the text, too, so the text says something about them "
         "where ratings are few. With vectors of its own the text teaches those, and the gain disappears.",
         [(3, "shared vectors have to explain the text"), (2, "the gain disappears")])]


@asked(B, 6, ["6.3", "6.4"], "Which network, and for what")
def which_network(rng):
    half = rng.choice([5, 10, 20])
    real, imaginary = rng.choice([(0.6, 0.6), (0.5, 0.7)])
    size = sqrt(real**2 + imaginary**2)
    return [
        (f"A number of an LRU's state is multiplied by λ = {n(real)} + {n(imaginary)}i at each click. After how many "
         f"clicks is half of its size left? Which size |λ| has a half-life of {half} clicks?",
         f"|λ| = {n(size)}; log(1/2) / log|λ| = {n(log(0.5) / log(size))} clicks. 2<sup>−1/{half}</sup> = "
         f"{n(2 ** (-1 / half))}.", [(2, "size"), (2, "half-life"), (2, "the other way round")]),
        ("Name a world in which a linear recurrence cannot do what a GRU does, and say why. Name what has to be kept "
         "for each visitor by attention and by a recurrent network.",
         "A world in which what a click means depends on the state, for instance only the first visit to a sale "
         "counts: the gates of the linear recurrence see the click and not the state. Attention keeps keys and values "
         "of all clicks, a recurrent network one state.",
         [(3, "a world, and why"), (2, "what is kept")]),
        ("A table has SASRec with one negative for each click below a GRU with a softmax over all items. What does it "
         "say about the networks? Name three things that must be the same in a fair comparison.",
         "Nothing certain, since the losses differ. The same loss and negatives, the same budget to choose settings, "
         "the same data and splits, the same evaluation among all items, several seeds.",
         [(1, "nothing certain"), (3, "one for each of three things")])]
