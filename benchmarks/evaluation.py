"""What a protocol does to a comparison: ranks of six models, and which settings turn two of them round.

All is measured on the training part of YooChoose-100k: its last day is held out by time, or the last click of each
session is. ``python -m rnnbook reproduce evaluation``
"""

import base64
import itertools
from dataclasses import dataclass

import numpy as np

from rnnbook import baselines, data, metrics, results
from rnnbook.benchmarks.gru4rec_search import as_config, best_of, rival
from rnnbook.benchmarks.rows import METRICS, paired_row, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import fit
from rnnbook.metrics import Protocol, candidate_counts

MODELS = ("Popularity", "Session popularity", "Item-KNN", "Markov", "V-SKNN", "GRU4Rec")
SEEDS = range(3)  # of the network; the laboratory shows the first
FREQUENT, NEGATIVES = 20, 100  # clicks of an item that a filtered catalogue keeps; negatives of a sampled metric
N_SESSIONS, SAMPLE_SEED = 500, 0  # what the laboratory shows of the day

# What the laboratory offers, the book's own first
CHOICES = {
    "split": ("time", "leave-one-out"), "among": ("all", "uniform", "popularity"),
    "ties": ("conservative", "median", "standard"), "targets": ("all", "last"), "average": ("event", "session"),
    "repeats": ("kept", "left out"), "unseen": ("left out", "missed"), "items": ("all", "frequent"),
    "k": (20, 10, 5, 1), "metric": ("recall", "mrr", "ndcg")}
HONEST = {name: values[0] for name, values in CHOICES.items()}
# util.py of github.com/kang205/SASRec: the last item of each user among 100 others that the user did not have before,
# drawn uniformly, with replacement; HR@10 and NDCG@10
SASREC = {"split": "leave-one-out", "among": "uniform", "targets": "last", "repeats": "left out", "k": 10,
          "metric": "ndcg"}
LAST, REPEAT, RARE, UNSEEN, ENDS = 1, 2, 4, 8, 16  # flags of an event; the last of its session with what is unseen


# --- What is stored of each event -------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """The events to predict of some sessions, and where each model has them.

    ``session`` and ``flags`` are int64 [n_events]. ``counts``, int64 [n_events, 2, 1 + 2 n_models, 4], has the number
    of candidates, and of those above and tied with the target for each model; first items, then clicks on them in
    training. The last axis is: all items; without repeats; frequent items; those without repeats.
    """

    session: np.ndarray
    flags: np.ndarray
    counts: np.ndarray

    def take(self, sessions):
        """The events of these sessions."""
        kept = np.isin(self.session, sessions)
        return Split(np.unique(self.session[kept], return_inverse=True)[1], self.flags[kept], self.counts[kept])


def encode(split):
    """A Split as text: numbers of seven bits a byte, the lowest first, in base64.

    For each session the number of its events; for each event its flags, and if its item is known, in each line of four
    counts the first and the third, with what they exceed the second and the fourth by.
    """
    lines = split.counts.copy()
    lines[split.flags & REPEAT > 0, ..., 1::2] = lines[split.flags & REPEAT > 0, ..., ::2]  # never looked at
    lines[split.flags & RARE > 0, ..., 2:] = 0
    lines[..., 1::2] = lines[..., ::2] - lines[..., 1::2]
    numbers = []
    for _, events in itertools.groupby(range(len(split.flags)), split.session.__getitem__):
        events = list(events)
        numbers.append(len(events))
        for event in events:
            numbers += [split.flags[event], *([] if split.flags[event] & UNSEEN else lines[event].ravel())]
    coded = bytearray()
    for number in map(int, numbers):
        while number >= 128:
            coded.append(number % 128 + 128)
            number //= 128
        coded.append(number)
    return base64.b64encode(coded).decode()


# --- The figures of a setting -----------------------------------------------------------------------------


def predicted(split, setting):
    """bool [n_events]: which events the setting asks for."""
    kept = np.ones(len(split.flags), dtype=bool)
    if setting["unseen"] == "left out" or setting["items"] == "frequent":
        kept &= split.flags & UNSEEN == 0
    if setting["targets"] == "last" or setting["split"] == "leave-one-out":
        kept &= split.flags & (LAST if setting["unseen"] == "left out" else ENDS) > 0
    if setting["repeats"] == "left out":
        kept &= split.flags & REPEAT == 0
    if setting["items"] == "frequent":
        kept &= split.flags & RARE == 0
    return kept


def gains_of(split, setting):
    """Expected gain of each model at each predicted event, float64 [n_models, n]; and the events, bool [n_events]."""
    kept = predicted(split, setting)
    combo = (setting["repeats"] == "left out") + 2 * (setting["items"] == "frequent")
    total, *lines = split.counts[kept, int(setting["among"] == "popularity"), :, combo].T
    known, k, found = split.flags[kept] & UNSEEN == 0, setting["k"], np.zeros((len(lines) // 2, kept.sum()))
    for gain, above, tied in zip(found, lines[::2], lines[1::2]):
        above, tied, candidates = above[known], tied[known], total[known]
        if setting["among"] == "all":
            share = {"standard": 0, "median": 0.5, "conservative": 1}[setting["ties"]]
            gain[known] = metrics.gains(1 + above + share * tied, k)[setting["metric"]]
        else:
            protocol = Protocol(negatives=NEGATIVES, sampling=setting["among"], ties=setting["ties"])
            gain[known] = metrics.sampled_gains(above, tied, candidates, k, protocol)[setting["metric"]]
    return found, kept


def by_session(split, setting):
    """Sums of the gains of each model, float64 [n_models, n], and number of predictions, [n], of each session."""
    found, kept = gains_of(split, setting)
    _, session = np.unique(split.session[kept], return_inverse=True)
    sums, sizes = np.array([np.bincount(session, gain) for gain in found]), np.bincount(session).astype(np.float64)
    return (sums / sizes, np.ones_like(sizes)) if setting["average"] == "session" else (sums, sizes)


def interval(sums, sizes):
    """(mean, half of its 95 % interval) of a ratio of two sums over sessions, by the delta method."""
    mean, n = sums.sum() / sizes.sum(), len(sizes)
    return mean, 1.96 * np.sqrt(n / (n - 1) * ((sums - mean * sizes) ** 2).sum()) / sizes.sum()


def differences(split, setting):
    """{(a, b): (difference a - b, half of its interval)} of all pairs of models."""
    sums, sizes = by_session(split, setting)
    return {(MODELS[a], MODELS[b]): interval(sums[a] - sums[b], sizes)
            for a, b in itertools.combinations(range(len(MODELS)), 2)}


def settings(changes):
    """All settings with so many switches turned from the book's; of leave-one-out, those that it does not decide."""
    for names in itertools.combinations(CHOICES, changes):
        for values in itertools.product(*(CHOICES[name][1:] for name in names)):
            changed = dict(zip(names, values))
            if "split" not in changed or not {"targets", "average", "unseen"} & changed.keys():
                yield changed


def alone(splits):
    """The scores under the book's protocol and with each switch turned alone: {model: (mean, half of its interval)}."""
    found = []
    for changed in ({}, *settings(1)):
        setting = HONEST | changed
        sums, sizes = by_session(splits[setting["split"]], setting)
        scores = {model: interval(each, sizes) for model, each in zip(MODELS, sums)}
        found.append({"changed": changed, "scores": scores})
    return found


def reversals(splits):
    """For each pair, the fewest switches that turn it round, and of such settings the one that does it most.

    It is turned round if the interval of its difference lies on one side of zero under the book's protocol, and on the
    other under this one. The second value is how many settings were tried.
    """
    before, found, tried = differences(splits[HONEST["split"]], HONEST), {}, 0
    for changes in (1, 2):
        best = {}
        for changed in settings(changes):
            setting = HONEST | changed
            tried += 1
            for pair, (now, half) in differences(splits[setting["split"]], setting).items():
                was, its = before[pair]
                turned = abs(was) > its and abs(now) > half and was * now < 0
                if turned and abs(now) > abs(best.get(pair, {"now": [0]})["now"][0]):
                    best[pair] = {"a": pair[0], "b": pair[1], "changed": changed,
                                  "before": [was, was - its, was + its], "now": [now, now - half, now + half]}
        found = best | found
    return list(found.values()), tried


def plainest(turned):
    """Of the pairs that one switch turns round, the one whose difference is largest on both sides."""
    return max((each for each in turned if len(each["changed"]) == 1),
               key=lambda each: min(abs(each["before"][0]), abs(each["now"][0])))


def lab(splits, turned):
    """What the laboratory of the page needs."""
    presets = [["the book's", {}], ["as in SASRec's code", SASREC]]
    if any(len(each["changed"]) == 1 for each in turned):
        found = plainest(turned)
        presets.append([f"{found['a']} against {found['b']}", found["changed"]])
    return {"models": list(MODELS), "negatives": NEGATIVES, "frequent": FREQUENT, "choices": CHOICES,
            "presets": presets, "events": {name: encode(split) for name, split in splits.items()}}


# --- The models -------------------------------------------------------------------------------------------


def held_out(split):
    """(train, test, the sessions of the day with all of their clicks) of YooChoose-100k's training part.

    Leave-one-out is tested on the sessions of the same day that are long enough for it.
    """
    log = data.load_sessions("yoochoose-100k")[0]
    train, test = log.split_by_time()
    of_the_day = log.take(np.flatnonzero(~np.isin(log.session_ids, train.session_ids)))
    if split == "time":
        return train, test, of_the_day
    left, whole = log.leave_last_out()
    whole = whole.take(np.flatnonzero(np.isin(whole.session_ids, of_the_day.session_ids)))
    return left, whole, of_the_day.take(np.flatnonzero(np.isin(of_the_day.session_ids, whole.session_ids)))


def same_targets(test, other):
    """The sessions that both have, with the same last click, in one order."""
    def last(sessions):
        return dict(zip(sessions.session_ids.tolist(), sessions.item_ids[sessions.items[sessions.offsets[1:] - 1]]))

    mine, theirs = last(test), last(other)
    ids = [session for session, item in mine.items() if theirs.get(session) == item]
    place = {session: i for i, session in enumerate(test.session_ids.tolist())}
    return test.take([place[session] for session in sorted(ids)])


def trained(name, train, seed):
    """A model with the settings that chapter 2 chose. Item-KNN keeps its ties, as in the paper that has it."""
    trials = results.load("gru4rec-search")["trials"]
    if name == "GRU4Rec":
        return fit(train, as_config(best_of(trials, "cross-entropy")["config"]), device="cpu", seed=seed,
                   progress=False)
    settings = best_of(trials, name)["config"]
    return (baselines.ItemKNN(**settings) if name == "Item-KNN" else rival(name, settings)).fit(train)


def measure(job):
    """Scores on the day, scores on the targets of both splits, and the counts of a Split, [n_events, 2, 3, 4], of which
    only the first seed's are kept."""
    split, name, seed = job
    train, test, _ = held_out(split)
    other = held_out("leave-one-out" if split == "time" else "time")[1]
    model = trained(name, train, seed)
    scores = (metrics.evaluate_sessions(model, test, targets="all" if split == "time" else "last"),
              metrics.evaluate_sessions(model, same_targets(test, other), targets="last"))
    if seed:
        return *scores, None
    counts = [[candidate_counts(model, test, Protocol(sampling=sampling, repeats=repeats, min_support=least),
                                train.support) for least in (0, FREQUENT) for repeats in (True, False)]
              for sampling in metrics.SAMPLINGS]
    total_first = np.array(counts)[:, :, [2, 0, 1]]  # [sampling, combo, count, event]
    return *scores, total_first.transpose(3, 0, 2, 1).astype(np.int64)


def flags_of(split):
    """(session, flags, place in the counts) of each event of a day to predict, known or not; the place is -1 if not."""
    train, test, whole = held_out(split)
    known = np.isin(whole.item_ids, test.item_ids)[whole.items]
    positions, sessions = metrics.target_positions(test)
    place = {(test.session_ids[s], at - test.offsets[s]): i for i, (at, s) in enumerate(zip(positions, sessions))}
    found = []
    for s, session in enumerate(whole.session_ids):
        start, end = whole.offsets[s:s + 2]
        for at in range(start + 1, end):
            i = place.get((session, known[start:at].sum())) if known[at] else -1
            if i is None or (split == "leave-one-out" and at < end - 1):
                continue
            rare = known[at] and train.support[test.items[positions[i]]] < FREQUENT
            found.append((s, LAST * bool(known[at] and not known[at + 1:end].any())
                          + REPEAT * bool(whole.items[at] in whole.items[start:at]) + RARE * bool(rare)
                          + UNSEEN * bool(not known[at]) + ENDS * (at == end - 1), i))
    return np.array(found, dtype=np.int64).T


def split_of(flags, counts):
    """The Split of events from :func:`flags_of` and of the counts of each model."""
    session, flags, place = flags
    joined = np.concatenate([counts[0][:, :, :1], *(each[:, :, 1:] for each in counts)], axis=2)[place]
    return Split(session, flags, np.where((flags & UNSEEN > 0)[:, None, None, None], 0, joined))


def main(experiment):
    days = {split: held_out(split) for split in CHOICES["split"]}
    result = results.new_result(experiment, results.describe(*days["time"][:2]), {
        "seeds": list(SEEDS), "negatives": NEGATIVES, "clicks of a frequent item": FREQUENT,
        "sessions of the laboratory": N_SESSIONS, "seed of their sample": SAMPLE_SEED, "choices": CHOICES,
        "models": {name: best_of(results.load("gru4rec-search")["trials"],
                                 "cross-entropy" if name == "GRU4Rec" else name)["config"] for name in MODELS}})
    units = Units(result)
    jobs = [(split, name, seed) for name in reversed(MODELS) for split in days
            for seed in (SEEDS if name == "GRU4Rec" else [0])]
    done = dict(zip(jobs, units.in_parallel(measure, jobs)))

    def runs(split, name, which):
        return [done[job][which] for job in jobs if job[:2] == (split, name)]

    splits = {split: split_of(flags_of(split), [runs(split, name, 2)[0] for name in MODELS]) for split in days}
    for name in MODELS:
        leak = {f"{split}, same targets · {name}": runs(split, name, 1) for split in days}
        scores = {name: runs("time", name, 0), f"leave-one-out · {name}": runs("leave-one-out", name, 0)} | leak
        for model, each in scores.items():
            result["rows"] += score_rows(model, each)
        result["paired"] += [paired_row(*reversed(leak), metric, *reversed(leak.values())) for metric in METRICS]
        if name != "GRU4Rec":
            result["paired"] += [paired_row("GRU4Rec", name, metric, runs("time", "GRU4Rec", 0), scores[name])
                                 for metric in METRICS]
    result["alone"] = alone(splits)
    result["reversals"], result["settings tried"] = reversals(splits)
    sample = np.random.default_rng(SAMPLE_SEED).choice(len(days["time"][2].session_ids), N_SESSIONS, replace=False)
    ids = days["time"][2].session_ids[sample]
    result["lab"] = lab({split: splits[split].take(np.flatnonzero(np.isin(days[split][2].session_ids, ids)))
                         for split in days}, result["reversals"])
    units.write()
