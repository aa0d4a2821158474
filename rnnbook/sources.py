"""Where each data set comes from, under which licence, and where it is on this machine.

None of the real data sets is part of this package: their licences forbid it. They are looked for in the
folder that ``RNNBOOK_DATA`` names, then in the cache, then at their official address; MovieLens 100K also in a
Python package that carries it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pooch
import requests
from tqdm.auto import tqdm

from .tables import DataError


class Wheel(NamedTuple):
    """A file inside a Python package.

    Examples
    --------
    >>> SOURCES["movielens-100k"].wheel.requirement
    'recbole==1.2.1'
    """

    requirement: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """One data set, or many of one form: ``<Category>`` then stands in its name, its files and its address.

    Attributes
    ----------
    files : tuple of tuples of str
        For each file the names it goes by; each may also end in ``.gz``.
    digests : tuple of str
        SHA-256 of each file, unpacked, where the published ones are known.
    url, url_hash : str, optional
        Official address for the automatic download, and the checksum of what lies there, if known: SHA-256,
        or MD5 as ``md5:…``. By default it is the first of ``digests``.
    wheel : Wheel, optional
        Where to take the file from if the address cannot be reached.

    Examples
    --------
    >>> source = SOURCES["movietweetings-100k"]
    >>> source.licence, source.files
    ('MIT', (('ratings.dat',),))
    >>> named("amazon-2014:Digital_Music").folder
    'amazon-2014'
    """

    name: str
    what: str
    size: str
    licence: str
    origin: str
    how: str
    files: tuple = ()
    digests: tuple = ()
    url: str | None = None
    url_hash: str | None = None
    wheel: Wheel | None = None

    @property
    def folder(self):
        """The name of its own folder; the categories of one form share theirs."""
        return self.name.partition(":")[0]


CATEGORY = "<Category>"
_movielens = partial(Source, licence="research; no redistribution without permission",
                     origin="GroupLens, https://grouplens.org/datasets/movielens")


SOURCES = {source.name: source for source in (
    Source(
        "session-world", "clicks of a hidden Markov chain whose best possible score is known",
        "13,000 sessions", "MIT, with the package",
        "rnnbook.worlds.SessionWorld",
        "nothing to do, it is made here",
    ),
    Source(
        "yoochoose-100k", "an early slice of RSC15, one week of clicks",
        "2.6 MB, 83,846 events", "CC BY-NC-ND 4.0",
        "YOOCHOOSE, RecSys Challenge 2015; slice by session-rec, https://github.com/rn5l/session-rec",
        "copy yoochoose-clicks-100k_train_full.txt and yoochoose-clicks-100k_test.txt from "
        "data/rsc15/prepared of that repository",
        files=(("train.tsv", "yoochoose-clicks-100k_train_full.txt"),
               ("test.tsv", "yoochoose-clicks-100k_test.txt")),
        digests=("9842c90358298ee784fcf0c9dccb2eeb283ab04368e53bdeee896747f4c03e1e",
                 "380410c606403531019e1ec0b4d192ef90492d594b9b5a91633b860618dd7136"),
    ),
    Source(
        "rsc15", "half a year of clicks in a European web shop, as published",
        "33 million events", "CC BY-NC-ND 4.0",
        "YOOCHOOSE, RecSys Challenge 2015, https://www.kaggle.com/datasets/chadgostopp/recsys-challenge-2015",
        "fetched from the official address when first loaded; if that is gone, take yoochoose-clicks.dat "
        "from Kaggle",
        files=(("yoochoose-clicks.dat",),),
        url="https://s3-eu-west-1.amazonaws.com/yc-rdata/yoochoose-data.7z",
    ),
    Source(
        "retailrocket", "views in a web shop, 4.5 months; sessions are made from visitors",
        "2,756,101 events", "see its Kaggle page",
        "Retailrocket, https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
        "log in to Kaggle, download, unzip, take events.csv",
        files=(("events.csv",),),
    ),
    Source(
        "diginetica", "item views in a web shop, five months",
        "41 MB, 1,235,380 events", "none stated; published for the CIKM Cup 2016",
        "DIGINETICA, CIKM Cup 2016 track 2, https://competitions.codalab.org/competitions/11161",
        "join the competition page, download the training data, unzip, take train-item-views.csv",
        files=(("train-item-views.csv",),),
    ),
    Source(
        "rating-world", "ratings by made-up users whose taste drifts; the best possible error is known",
        "100,000 ratings", "MIT, with the package",
        "rnnbook.worlds.RatingWorld",
        "nothing to do, it is made here",
    ),
    _movielens(
        "movielens-100k", "ratings of movies, 1 to 5 stars, seven months of 1997 and 1998",
        "2 MB, 100,000 ratings",
        how="fetched when first loaded: ml-100k.zip from its official address or, if that cannot be reached, "
            "ml-100k.inter out of the Python package recbole 1.2.1, which is not installed",
        files=(("u.data", "ml-100k.inter"),),
        url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        url_hash="md5:0e33842e24a9c977be4e0107933c0723",
        wheel=Wheel("recbole==1.2.1", "recbole/dataset_example/ml-100k/ml-100k.inter",
                    "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"),
    ),
    Source(
        "movietweetings-100k", "ratings of movies, 0 to 10, tweeted from IMDb in half a year of 2013",
        "3 MB, 100,000 ratings", "MIT",
        "Simon Dooms, https://github.com/sidooms/MovieTweetings",
        "fetched from the official address when first loaded",
        files=(("ratings.dat",),),
        digests=("c0dd868c2632d10002ebc928ddc5345f33adeaa59eca52c2941c26a2c5e36fd6",),
        url="https://raw.githubusercontent.com/sidooms/MovieTweetings/master/snapshots/100K/ratings.dat",
    ),
    _movielens(
        "movielens-1m", "ratings of movies, 1 to 5 stars",
        "1 million ratings",
        how="fetched from the official address when first loaded; by hand, take ratings.dat out of ml-1m.zip",
        files=(("ratings.dat",),),
        url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        url_hash="md5:c4d9eecfca2ab87c1945afe126590906",
    ),
    _movielens(
        "movielens-32m", "ratings of movies, half a star to 5",
        "32 million ratings",
        how="fetched from the official address when first loaded; by hand, take ratings.csv out of ml-32m.zip",
        files=(("ratings.csv",),),
        url="https://files.grouplens.org/datasets/movielens/ml-32m.zip",
    ),
    Source(
        "netflix", "ratings of movies, 1 to 5 stars, from the Netflix Prize; days without a time of day",
        "100 million ratings", "see its Kaggle page",
        "Netflix, https://www.kaggle.com/datasets/netflix-inc/netflix-prize-data",
        "log in to Kaggle, download, unzip, take the four files combined_data_1.txt to combined_data_4.txt",
        files=tuple((f"combined_data_{part}.txt",) for part in range(1, 5)),
    ),
    Source(
        "review-world", "ratings with short reviews, made up; what a text tells about the next rating is known",
        "8,000 reviews", "MIT, with the package",
        "rnnbook.worlds.ReviewWorld",
        "nothing to do, it is made here",
    ),
    Source(
        "amazon-gift-cards", "reviews of gift cards, of users and items with five or more, many of them repeated",
        "0.2 MB, 2,972 reviews", "none stated",
        "Jianmo Ni, UCSD, Amazon Review Data 2018, https://nijianmo.github.io/amazon/index.html",
        "fetched from the official address when first loaded",
        files=(("Gift_Cards_5.json",),),
        url="https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/categoryFilesSmall/Gift_Cards_5.json.gz",
    ),
    Source(
        f"amazon-2014:{CATEGORY}", "reviews until July 2014, of users and items with five or more",
        "depends on the category", "none stated",
        "Julian McAuley, UCSD, https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html",
        "fetched from the official address when first loaded; that page lists the categories: "
        "amazon-2014:Digital_Music is its 5-core file reviews_Digital_Music_5.json.gz",
        files=((f"reviews_{CATEGORY}_5.json",),),
        url=f"http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_{CATEGORY}_5.json.gz",
    ),
    Source(
        f"amazon-2023:{CATEGORY}", "all reviews of a category until September 2023",
        "depends on the category", "none stated",
        "McAuley Lab, UCSD, https://amazon-reviews-2023.github.io",
        "fetched from the official address when first loaded; that page lists the categories: "
        "amazon-2023:Gift_Cards is its Gift_Cards.jsonl.gz",
        files=((f"{CATEGORY}.jsonl",),),
        url=f"https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw/review_categories/{CATEGORY}.jsonl.gz",
    ),
)}


def named(name):
    """The data set of that name, as ``"netflix"`` or ``"amazon-2014:Digital_Music"``.

    Raises
    ------
    KeyError
        There is none.
    ValueError
        The category is not written as one.

    Examples
    --------
    >>> named("amazon-2014:Digital_Music").files
    (('reviews_Digital_Music_5.json',),)
    """
    form, colon, category = name.partition(":")
    if not colon:
        return SOURCES[name]
    source = SOURCES[f"{form}:{CATEGORY}"]
    if not re.fullmatch("[A-Za-z0-9_]+", category):  # it becomes part of a path and of an address
        raise ValueError(f"{name!r} names no category: {source.name} with letters, digits and _ only, such as "
                         f"{form}:Digital_Music. They are listed at {source.origin.split()[-1]}")
    return replace(source, name=name, url=source.url and source.url.replace(CATEGORY, category),
                   files=tuple(tuple(file.replace(CATEGORY, category) for file in names) for names in source.files))


def cache():
    """The folder for downloads.

    Examples
    --------
    >>> cache().name
    'rnnbook'
    """
    return Path(pooch.os_cache("rnnbook"))


def folders(source):
    """The folders to search for a data set, best first.

    Where two data sets have files of one name, each is found only in a folder with the data set's own name.

    Examples
    --------
    >>> folders(SOURCES["netflix"])[-1] == cache() / "netflix"
    True
    """
    given = os.environ.get("RNNBOOK_DATA")
    places = [Path(given) / source.folder, Path(given)] if given else []
    if any(set(source.files) & set(other.files) for other in SOURCES.values() if other.name != source.name):
        places = places[:1]
    return [*places, cache() / source.folder]


def find(source):
    """Paths of the data set's files, of any category if none is said; None unless all are in one folder.

    Examples
    --------
    What is made here has no files, and what is not here gives None.

    >>> print(find(SOURCES["rating-world"]))
    None
    """
    for folder in folders(source):
        paths = [next((path for name in names for end in ("", ".gz")
                       for path in folder.glob(f"{name}{end}".replace(CATEGORY, "*")) if path.is_file()), None)
                 for names in source.files]
        if paths and None not in paths:
            return paths
    return None


def locate(source):
    """Paths of the data set's files; downloads them if there is an address.

    Raises
    ------
    FileNotFoundError
        Not here and not to be downloaded; says what to get, where, and where to put it.
    DataError
        A download that failed or is not what it should be (nothing of it is kept), or a file that is not the
        published one.

    Examples
    --------
    A file of the right name in the folder that ``RNNBOOK_DATA`` names is found, gzipped or not.

    >>> import tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "events.csv.gz").touch()
    ...     with mock.patch.dict(os.environ, RNNBOOK_DATA=folder):
    ...         [path.name for path in locate(SOURCES["retailrocket"])]
    ['events.csv.gz']
    """
    paths = find(source)
    if paths is None:
        if source.url is None:
            raise FileNotFoundError(f"{source.name} is not here. {_by_hand(source)}")
        paths = [_download(source)]
    for path, digest in zip(paths, source.digests, strict=False):
        if (found := _sha256(path)) != digest:
            raise DataError(
                f"{path} is not the published file: SHA-256 {found}, expected {digest}. It may be damaged: "
                f"get it again ({source.how}). If it is your own version, give the path of a table in place of "
                f"the name.")
    return paths


def _by_hand(source):
    wanted = " and ".join(" or ".join(names) for names in source.files)
    given = os.environ.get("RNNBOOK_DATA")
    return (f"To have it: {source.how}. Source: {source.origin}. Licence: {source.licence}. "
            f"Put {wanted} (may end in .gz) into {cache() / source.folder}, or into a folder {source.folder} "
            f"inside the one that RNNBOOK_DATA names ({f'now {given}' if given else 'now not set'}).")


def _download(source):
    """Fetch the address under a temporary name, check it, unpack it if it is an archive."""
    folder = cache() / source.folder
    name = source.url.rsplit("/", 1)[-1]
    try:
        known = source.url_hash or next(iter(source.digests), None)
        path = Path(pooch.retrieve(source.url, known, name, folder, downloader=_fetch))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong checksum is a ValueError
        reason = f"{source.url} did not arrive whole: {str(error).strip().splitlines()[0]}"
        if source.wheel:
            try:
                return _from_wheel(source.wheel, folder)
            except DataError as second:
                reason = f"{reason}; nor did {source.wheel.requirement}: {second}"
        raise DataError(f"{reason} Nothing of it was kept. {_by_hand(source)}") from error
    return _unpack(path, source) if path.suffix in (".7z", ".zip") else path


def _fetch(url, path, _):
    """What pooch calls with its temporary path; unlike its own, this closes a broken connection."""
    with requests.get(url, stream=True, timeout=(5, 60)) as response, open(path, "wb") as file:
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0))
        with tqdm(total=size or None, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1]) as bar:
            for chunk in response.iter_content(1 << 20):
                bar.update(file.write(chunk))


def _from_wheel(wheel, folder):
    """The one wanted file out of a Python package, which is fetched but neither installed nor kept."""
    wanted = folder / PurePosixPath(wheel.member).name
    with tempfile.TemporaryDirectory() as place:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
               "--retries=1", "-d", place, wheel.requirement]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DataError(f"pip says {(done.stderr.strip().splitlines() or ['nothing'])[-1]}.")
        [package] = Path(place).iterdir()
        with _becoming(wanted) as part:
            _from_zip(package, wheel.member, part)
            part.flush()
            if (found := _sha256(Path(part.name))) != wheel.sha256:
                raise DataError(f"SHA-256 of {wanted.name} is {found}, expected {wheel.sha256}.")
    return wanted


def _unpack(archive, source):
    """The one wanted file out of an archive, which is then deleted."""
    wanted = archive.parent / source.files[0][0]
    take = _from_zip if archive.suffix == ".zip" else _from_7z
    try:
        with _becoming(wanted) as part:
            take(archive, wanted.name, part)
    except _Damaged as error:
        archive.unlink()
        raise DataError(f"{archive.name} from {source.url} is damaged: {error}. It was deleted; load again. "
                        f"{_by_hand(source)}") from error
    archive.unlink()
    return wanted


@contextlib.contextmanager
def _becoming(path):
    """A temporary file to write to, which becomes ``path`` if all goes well and else is deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = tempfile.NamedTemporaryFile(dir=path.parent, delete=False)  # noqa: SIM115 - closed before it is moved
    try:
        with part:
            yield part
        os.replace(part.name, path)
    finally:
        Path(part.name).unlink(missing_ok=True)


class _Damaged(DataError):
    pass


def _from_zip(archive, name, out):
    """Write the file of that name, in whichever folder of the archive, to ``out``."""
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.namelist() if f"/{member}".endswith(f"/{name}")]
            if not members:
                raise _Damaged(f"it holds no {name}")
            with packed.open(members[0]) as file:
                shutil.copyfileobj(file, out, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _Damaged(str(error)) from error


def _from_7z(archive, name, out):
    """As :func:`_from_zip`, by a program: Python has none."""
    commands = {"7z": ["x", "-so"], "7zz": ["x", "-so"], "7za": ["x", "-so"], "bsdtar": ["-xOf"]}
    tool = next((tool for tool in commands if shutil.which(tool)), None)
    if tool is None:
        raise DataError(f"{archive} is here, but no program to unpack it. Install 7-Zip (Debian and Colab: "
                        f"apt install 7zip; macOS: brew install sevenzip) and load again, or put "
                        f"{name} beside it.")
    done = subprocess.run([tool, *commands[tool], str(archive), name], stdout=out, stderr=subprocess.PIPE,
                          check=False)
    if done.returncode or not Path(out.name).stat().st_size:
        raise _Damaged(f"{tool} could not take {name} out of it")


def _sha256(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except (EOFError, OSError) as error:
            return f"unreadable ({error})"
