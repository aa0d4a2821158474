"""Result files: what the benchmarks write and the book reads, so that no number in it is typed.

A file ``<experiment>.json`` holds ``experiment``, ``code`` (the digest of the code that made it, "unknown" if nobody
noted it), ``commit``, ``created`` (UTC), ``machine``, ``packages``, ``seconds``, ``data`` (name, sha256, n_train,
n_test in events), ``config``, ``rows`` (model, metric, mean, low, high: the 95 % interval, values: one per seed),
``paired`` (a, b, metric, difference a - b, low, high) and ``paper`` (source, model, metric, value). Further keys may
stand beside these.

A result is *stale* when the code that made it is not the code that is here; `badge` says so in the page.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from html import escape
from importlib import metadata, resources
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
from IPython.display import HTML

from rnnbook import provenance, tables
from rnnbook.benchmarks import EXPERIMENTS

PACKAGES = ("numpy", "pandas", "polars", "scipy", "torch")
NUMBER = (int, float)
FORMAT = {
    "experiment": str, "code": str, "commit": str, "created": str, "machine": dict, "packages": dict, "seconds": NUMBER,
    "data": {"name": str, "sha256": str, "n_train": int, "n_test": int},
    "config": dict,
    "rows": [{"model": str, "metric": str, "mean": NUMBER, "low": NUMBER, "high": NUMBER, "values": [NUMBER]}],
    "paired": [{"a": str, "b": str, "metric": str, "difference": NUMBER, "low": NUMBER, "high": NUMBER}],
    "paper": [{"source": str, "model": str, "metric": str, "value": NUMBER}],
}

UNKNOWN = "unknown"
LESS_IS_BETTER = ("rmse", "perplexity", "kl")
WORDS = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG", "rmse": "RMSE", "kl": "KL", "r2": "R²", "gib": "GiB",
         "mib": "MiB", "per": "a"}


def root():
    """Path of the checkout that the package is in; of the current folder if it is installed elsewhere.

    Examples
    --------
    >>> root().is_dir()
    True
    """
    around = _in_package().parent
    return around if (around / "pyproject.toml").exists() else Path.cwd()


def folders():
    """The folders that are searched for result files, in this order; the first is also written to.

    It is ``benchmarks/results`` of the checkout, or ``results`` in a current folder that is none. The second is the
    folder of the files that came with the package, which nothing is written to.

    Returns
    -------
    list of Path

    Examples
    --------
    >>> any((folder / "gru4rec-world.json").exists() for folder in folders())
    True
    """
    checkout = root() / "benchmarks" / "results"
    own = checkout if checkout.is_dir() else root() / "results"
    return list(dict.fromkeys([own, _in_package() / "results"]))


def _in_package():
    return Path(str(resources.files("rnnbook.benchmarks")))


def path_of(name):
    """Path of an experiment's result file: where it is, or where it would be written.

    Examples
    --------
    >>> path_of("gru4rec-world").name
    'gru4rec-world.json'
    """
    paths = [folder / f"{name}.json" for folder in folders()]
    return next((path for path in paths if path.exists()), paths[0])


def names():
    """The experiments with a result file, as a sorted list of str.

    Examples
    --------
    >>> "gru4rec-world" in names()
    True
    """
    return sorted({path.stem for folder in folders() for path in folder.glob("*.json")})


def load(name):
    """The result file of an experiment as a dict.

    Raises
    ------
    FileNotFoundError
        If the experiment has no result file; says how to make it.
    ValueError
        If the file breaks the format; names the file and the key.

    Examples
    --------
    >>> sorted(load("gru4rec-yoochoose-100k")["data"])
    ['n_test', 'n_train', 'name', 'sha256']
    """
    path = path_of(name)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not here: `python -m rnnbook reproduce {name}` writes it "
                                f"(here are: {', '.join(names()) or 'none'})")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if isinstance(result, dict):
        result.setdefault("code", UNKNOWN)  # files from before there was a digest have none
    check(result, path)
    if result["experiment"] != name:
        raise ValueError(f"{path}: experiment is {result['experiment']!r}, the file's name says {name!r}")
    return result


def check(result, path="result"):
    """Raise a ValueError that names `path` and the key where `result` breaks the format.

    Examples
    --------
    >>> check({"experiment": "gru4rec-world"}, "world.json")
    Traceback (most recent call last):
        ...
    ValueError: world.json: code is missing
    """
    _check(result, FORMAT, path, "")
    for kind in ("rows", "paired"):
        for i, row in enumerate(result[kind]):
            if row["low"] > row["high"]:
                raise ValueError(f"{path}: {kind}[{i}].low is above {kind}[{i}].high")
    for i, row in enumerate(result["rows"]):
        if not row["values"]:
            raise ValueError(f"{path}: rows[{i}].values is empty: one value per seed belongs there")


def _check(value, kind, path, key):
    if isinstance(kind, dict):
        _check(value, dict, path, key)
        for name, inner in kind.items():
            where = f"{key}.{name}" if key else name
            if name not in value:
                raise ValueError(f"{path}: {where} is missing")
            _check(value[name], inner, path, where)
    elif isinstance(kind, list):
        _check(value, list, path, key)
        for i, item in enumerate(value):
            _check(item, kind[0], path, f"{key}[{i}]")
    elif not isinstance(value, kind) or isinstance(value, bool):
        wanted = "number" if kind is NUMBER else kind.__name__
        raise ValueError(f"{path}: {key or 'the whole'} must be a {wanted}, is {value!r:.60}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: {key} is {value}")


def value(name, model, metric):
    """The mean (float) of a model's metric, for example ``value("gru4rec-world", "GRU4Rec", "recall@20")``.

    Examples
    --------
    >>> best = value("gru4rec-world", "HMM · Bayes optimum", "recall@20")
    >>> best > value("gru4rec-world", "HMM · GRU4Rec", "recall@20")
    True
    """
    rows = load(name)["rows"]
    for row in rows:
        if (row["model"], row["metric"]) == (model, metric):
            return row["mean"]
    known = sorted({f"{row['model']} {row['metric']}" for row in rows})
    raise KeyError(f"{name} has no {metric} of {model}; it has: {', '.join(known)}")


def rows(name, metric):
    """The rows of one metric, by model (dict of str to dict with ``mean``, ``low``, ``high``, ``values``).

    Examples
    --------
    >>> seeds = rows("gru4rec-yoochoose-100k", "mrr@20")["GRU4Rec bpr-max"]["values"]
    >>> len(seeds)
    5
    """
    return {row["model"]: row for row in load(name)["rows"] if row["metric"] == metric}


def difference(name, a, b, metric):
    """The paired difference a - b as text, "+0.012 [+0.003, +0.021]", whichever way round the file holds it.

    Examples
    --------
    >>> text = difference("gru4rec-yoochoose-100k", "GRU4Rec cross-entropy", "Markov", "mrr@20")
    >>> text[0], text.count(",")  # above it; the interval has two ends
    ('+', 1)
    """
    row = _paired(name, a, b, metric)
    return tables.interval(row["mean"], row["low"], row["high"], "+")


def _paired(name, a, b, metric):
    """The row of a paired difference a - b as a dict of mean, low, high and, where the file holds it, p."""
    for row in load(name)["paired"]:
        ends = row["difference"], row["low"], row["high"]
        if (row["b"], row["a"], row["metric"]) == (a, b, metric):
            ends = tuple(-end for end in (row["difference"], row["high"], row["low"]))
        elif (row["a"], row["b"], row["metric"]) != (a, b, metric):
            continue
        return dict(zip(("mean", "low", "high"), ends)) | ({"p": row["p"]} if "p" in row else {})
    raise KeyError(f"{name} holds no paired difference of {a} and {b} in {metric}")


def lead(name, model, rivals, metric):
    """By how much a model is ahead of each of its rivals, and whether that is certain.

    Parameters
    ----------
    name, model, metric : str
        The experiment, the model, and for example "recall@20".
    rivals : sequence of str
        The models that it is compared with, all of them paired with it in the file.

    Returns
    -------
    dict of str to dict
        ``mean, low, high`` by rival: above zero the model is better, also where less is better. ``p`` is the p-value,
        from the interval if the file holds none, after Holm's correction over these rivals.

    Examples
    --------
    >>> found = lead("rrn-movielens-100k", "RRN", ["TimeSVD++", "U-AutoRec"], "rmse")
    >>> found["TimeSVD++"]["low"] > 0, [verdict(row) for row in found.values()]
    (True, ['ahead', 'not certain'])
    """
    pairs = {rival: _paired(name, *((rival, model) if metric in LESS_IS_BETTER else (model, rival)), metric)
             for rival in rivals}
    p = holm([row.get("p", _p_value(**row)) for row in pairs.values()])
    return {rival: row | {"p": float(corrected)} for (rival, row), corrected in zip(pairs.items(), p)}


def _p_value(mean, low, high, **others):
    """The two-sided p-value of a normal mean with this 95 % interval."""
    if low == high:  # without chance a difference is certain
        return float(mean == 0)
    normal = NormalDist()
    return 2 * normal.cdf(-abs(mean) / ((high - low) / 2) * normal.inv_cdf(0.975))


def verdict(row):
    """What a row of `lead` says: "ahead", "behind", or "not certain" where p is 0.05 or more.

    Examples
    --------
    >>> [verdict({"mean": mean, "p": p}) for mean, p in ((0.1, 0.01), (-0.1, 0.01), (0.1, 0.2))]
    ['ahead', 'behind', 'not certain']
    """
    return "not certain" if row["p"] >= 0.05 else "ahead" if row["mean"] > 0 else "behind"


# Numbers and tables as the pages show them -------------------------------------------------------------


def title(metric):
    """A metric's name in words, for the head of a table.

    Examples
    --------
    >>> title("recall@20"), title("rmse, new users"), title("events_per_second"), title("peak_gib")
    ('Recall@20', 'RMSE, new users', 'events a second', 'peak GiB')
    """
    return re.sub(r"[^\W_]+", lambda word: WORDS.get(word[0], word[0]), metric).replace("_", " ")


def folded(name):
    """All that a result file holds, folded: where it comes from, the scores, the differences, the paper's figures.

    Models of which other metrics were measured have a table of their own.

    Examples
    --------
    >>> "<summary>gru4rec-world</summary>" in folded("gru4rec-world").data
    True
    """
    result = load(name)
    measured = pd.DataFrame(result["rows"]).groupby("model", sort=False)["metric"].agg(tuple)
    parts = [table(name, own).loc[lambda shown, own=own: measured[shown.index] == own] for own in measured.unique()]
    parts += [make(name) for part, make in (("paired", paired_table), ("paper", paper_table)) if result[part]]
    return tables.fold(name, badge(name), *parts)


def table(name, metrics=None):
    """An experiment's scores: a row a model (best first metric first), a column a metric, "mean [low, high]".

    Parameters
    ----------
    name : str
        The experiment.
    metrics : sequence of str, optional
        The metrics to show, in this order; all of the file by default. Rows are sorted by the first.

    Returns
    -------
    DataFrame of str, index ``model``, columns as `title` writes them

    Examples
    --------
    >>> list(table("gru4rec-yoochoose-100k", ["mrr@20", "recall@20"]))
    ['MRR@20', 'Recall@20']
    """
    rows = pd.DataFrame(load(name)["rows"])
    metrics = list(metrics or rows["metric"].unique())
    rows["text"] = list(map(tables.interval, rows["mean"], rows["low"], rows["high"]))
    means = rows.pivot(index="model", columns="metric", values="mean")
    order = means.sort_values(metrics[0], ascending=metrics[0] in LESS_IS_BETTER, kind="stable").index
    shown = rows.pivot(index="model", columns="metric", values="text").loc[order, metrics]
    return shown.rename(columns=title).rename_axis(columns=None)


def paired_table(name):
    """Paired differences a - b of an experiment, with their 95 % intervals: a row a pair, a column a metric.

    If the file holds p-values, there are columns for them after Holm's correction over all comparisons of one metric.

    Returns
    -------
    DataFrame of str, index ``a`` and ``b``

    Examples
    --------
    >>> list(paired_table("gru4rec-yoochoose-100k"))[:2]
    ['Recall@20, a − b', 'Recall@20, p, Holm']
    """
    found = {}
    for metric, of_metric in pd.DataFrame(load(name)["paired"]).groupby("metric", sort=False):
        rows = of_metric.set_index(["a", "b"])
        found[f"{title(metric)}, a − b"] = pd.Series(
            [tables.interval(*ends, "+") for ends in zip(rows["difference"], rows["low"], rows["high"])], rows.index)
        if "p" in rows and rows["p"].notna().all():
            texts = ["< 0.001" if p < 0.001 else f"{p:.3f}" for p in holm(rows["p"])]
            found[f"{title(metric)}, p, Holm"] = pd.Series(texts, rows.index)
    return pd.DataFrame(found).fillna("")


def holm(p_values):
    """p-values of n comparisons, so corrected that the chance of one false finding among them stays at the level.

    The smallest is multiplied by n, the next by n − 1, and so on; none falls below the one before it (Holm 1979).

    Examples
    --------
    >>> holm([0.04, 0.01, 0.03]).round(2).tolist()
    [0.06, 0.03, 0.06]
    """
    p, n = np.asarray(p_values, dtype=float), len(p_values)
    order = p.argsort()
    corrected = np.empty(n)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(n, 0, -1)), 1)
    return corrected


def paper_table(name, metrics=None, digits=4):
    """What the papers print for the same models: a row a source and model, a column a metric (DataFrame of str).

    Parameters
    ----------
    name : str
        The experiment.
    metrics : sequence of str, optional
        The metrics to show, in this order; all of the file by default. A row without any of them is left out.
    digits : int
        Decimals, as printed.

    Examples
    --------
    >>> printed = paper_table("gru4rec-yoochoose-100k")
    >>> printed.loc[("RSC15, as published", "GRU4Rec BPR-max (2018)"), "Recall@20"]
    '0.7190'
    """
    rows = pd.DataFrame(load(name)["paper"], columns=["source", "model", "metric", "value"])
    metrics = list(metrics or rows["metric"].unique())
    texts = rows.assign(value=[f"{v:,.{digits}f}" for v in rows["value"]])[rows["metric"].isin(metrics)]
    texts = texts.pivot(index=["source", "model"], columns="metric", values="value").fillna("")
    return texts.reindex(columns=metrics).rename(columns=title).rename_axis(columns=None)


def beside(name, source, metric, pairs, reference):
    """A paper's table beside ours, one metric: the scores, and how far each model is from one of them.

    Parameters
    ----------
    name : str
        Our experiment; its file holds the paper's figures too.
    source : str
        Whose figures, as the file names them.
    metric : str
        For example "recall@20".
    pairs : dict of str to str
        The paper's names of the models, in its order, and ours for the same; "" where we did not run it. A name that
        the paper's table lacks stands for a model of ours alone.
    reference : str
        The paper's name of the model that the differences are from. It may be one that the paper lacks.

    Returns
    -------
    DataFrame of str, a row a model
        Columns ``paper``, with four decimals, as printed; ``ours`` (mean and 95 % interval); ``seeds``; and the
        differences reference - model: ``difference, paper`` of two printed figures, ``difference, ours`` paired, with
        its 95 % interval. A column that nothing stands in is left out.

    Raises
    ------
    KeyError
        If the experiment has no such model, or nothing paired with the reference.

    Examples
    --------
    >>> best = "GRU4Rec cross-entropy, samples (2018)"
    >>> pairs = {"POP": "Popularity", best: "GRU4Rec cross-entropy"}
    >>> both = beside("gru4rec-yoochoose-100k", "RSC15, as published", "recall@20", pairs, best)
    >>> both.loc["POP", "difference, paper"]
    '+0.7062'
    """
    result = load(name)
    paper = {row["model"]: row["value"] for row in result["paper"]
             if (row["source"], row["metric"]) == (source, metric)}
    if not paper:
        known = sorted({f"{row['source']}: {row['metric']}" for row in result["paper"]})
        raise KeyError(f"{name} holds no {metric} of {source!r}; it has: {', '.join(known)}")
    ours, lines = rows(name, metric), []
    for theirs, mine in pairs.items():
        line = {"model": theirs, "paper": f"{paper[theirs]:.4f}" if theirs in paper else None}
        if mine:
            value(name, mine, metric)  # raises where there is none
            row = ours[mine]
            line |= {"ours": tables.interval(row["mean"], row["low"], row["high"]), "seeds": str(len(row["values"]))}
        if theirs != reference:
            if theirs in paper and reference in paper:
                line["difference, paper"] = f"{paper[reference] - paper[theirs]:+.4f}"
            if mine:
                line["difference, ours"] = difference(name, pairs[reference], mine, metric)
        lines.append(line)
    columns = ["paper", "ours", "seeds", "difference, paper", "difference, ours"]
    shown = pd.DataFrame(lines).set_index("model").reindex(columns=columns)
    return shown.dropna(axis=1, how="all").fillna("")


def badge(name):
    """Where an experiment's numbers come from, as one line of HTML: commit, day, data, seeds, machine, time.

    Where the values of a row are not of a seed each, it says how many runs there were. A second line says so if the
    result is stale.

    Examples
    --------
    >>> "gru4rec-world" in badge("gru4rec-world").data
    True
    """
    result = load(name)
    data, n = result["data"], max((len(row["values"]) for row in result["rows"]), default=0)
    seeds = result["config"].get("seeds", [])
    kind = "seed" if max(seeds.values() if isinstance(seeds, dict) else [len(seeds)]) == n else "run"
    commit, _, changed = result["commit"].partition("+")
    commit = commit[:10] + (" with changes" if changed else "")
    machine = ", ".join(str(v) + (" cores" if k == "cores" else "") for k, v in result["machine"].items())
    facts = [
        f"<b>{escape(name)}</b>", f"commit {escape(commit)}",
        escape(result["created"][:10].replace("-", "\N{NON-BREAKING HYPHEN}")),
        f"{escape(data['name'])}, {data['n_train']:,} events to train on, {data['n_test']:,} to test on "
        f"(sha256 {escape(data['sha256'][:12])}…)",
        f"{n}\N{NO-BREAK SPACE}{kind}{'s' * (n != 1)}", escape(machine),
        f"torch {escape(result['packages'].get('torch', '?'))}", f"{result['seconds']:,.0f}\N{NO-BREAK SPACE}s",
    ]
    old = (f"<br>Made with an earlier version of the code (commit {escape(commit)}) "
           "and not made again since.") if is_stale(result) else ""
    return HTML(f'<p class="provenance" style="font-size: 85%; opacity: .85">{" · ".join(facts)}{old}</p>')


def code(experiment):
    """The digest of the code that makes an experiment's numbers now; "unknown" for one that the book does not have.

    See `rnnbook.provenance` for what is part of it.

    Examples
    --------
    >>> code("trial")
    'unknown'
    """
    module = EXPERIMENTS.get(experiment)
    return provenance.code_digest(f"rnnbook.benchmarks.{module}") if module else UNKNOWN


def is_stale(result):
    """Whether a result was made by other code than is here now, or nobody knows by which.

    Examples
    --------
    >>> is_stale({"experiment": "gru4rec-world", "code": "unknown"})
    True
    >>> is_stale({"experiment": "gru4rec-world", "code": code("gru4rec-world")})
    False
    """
    return result["code"] == UNKNOWN or result["code"] != code(result["experiment"])


def overview():
    """All experiments with the state of their result: a row each, in the order in which they can be made.

    Returns
    -------
    DataFrame, index ``experiment``
        ``state``: "fresh", "stale", or "not made" where there is no file; ``seconds``: float, what it took to make.

    Examples
    --------
    >>> print(overview().loc["gru4rec-world", "seconds"] > 0)
    True
    """
    found, lines = names(), []
    for name in EXPERIMENTS:
        result = load(name) if name in found else None
        state = "not made" if result is None else "stale" if is_stale(result) else "fresh"
        lines.append({"experiment": name, "state": state, "seconds": result["seconds"] if result else 0.0})
    return pd.DataFrame(lines).set_index("experiment")


def describe(train, test):
    """The ``data`` entry of a result file for a pair of SessionData or RatingData.

    Examples
    --------
    >>> from rnnbook.data import load_sessions
    >>> sorted(describe(*load_sessions("session-world")))
    ['n_test', 'n_train', 'name', 'sha256']
    """
    return {"name": train.name, "sha256": train.sha256, "n_train": len(train.items), "n_test": len(test.items)}


def new_result(experiment, data, config):
    """An empty result: call it before the work starts, fill in ``rows``, ``paired`` and ``paper``, then `write` it.

    Parameters
    ----------
    experiment : str
        Also the stem of the file.
    data : dict
        ``name, sha256, n_train, n_test``; see `describe`.
    config : dict
        Every setting that the numbers depend on.

    Examples
    --------
    >>> data = {"name": "by hand", "sha256": "0" * 64, "n_train": 2, "n_test": 1}
    >>> new_result("trial", data, {"seeds": [0]})["rows"]
    []
    """
    return {
        "experiment": experiment, "code": code(experiment), "commit": _commit(),
        "created": datetime.now(UTC).isoformat(), "machine": _machine(),
        "packages": {name: metadata.version(name) for name in PACKAGES}, "seconds": 0.0,
        "data": data, "config": config, "rows": [], "paired": [], "paper": [],
    }


def write(result):
    """Check `result`, add to its ``seconds`` the wall time since `new_result`, and put it in place; returns the path.

    The file is replaced in one move: a reader sees the old one or the new one, never half of one.

    Examples
    --------
    >>> half = {"experiment": "trial", "created": "2026-11-25T12:00:00+00:00"}
    >>> write(half)  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
        ...
    ValueError: trial.json: code is missing
    """
    started = datetime.fromisoformat(result["created"])
    spent = (datetime.now(UTC) - started).total_seconds()
    path = folders()[0] / f"{result['experiment']}.json"
    result = result | {"seconds": round(result.get("seconds", 0.0) + spent, 1)}
    check(result, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def _commit():
    """The checkout's commit, marked where the code differs from it; "unknown" outside a checkout."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--", ":/rnnbook", ":/benchmarks/*.py"],
                                 capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed else "")


def _machine():
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": cpu, "cores": os.cpu_count(), "device": _device()}


def _device():
    import torch  # not at the top: reading results needs no torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
