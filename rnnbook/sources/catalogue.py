"""The data sets that can be loaded by name: the contents, source and licence of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple


class Wheel(NamedTuple):
    """A file inside a Python package: the package's requirement, the file's path in it, and the file's SHA-256.

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
    """One data set, or one for each category; the name, files and address of the latter contain ``<Category>``.

    Attributes
    ----------
    name, what, size, licence, origin : str
        The name that the loaders accept, a description, the size, the licence, and the publisher with a web address.
    how : str
        How to get the files.
    files : tuple of tuples of str
        For each file the names that it may have; each may also end in ``.gz``. Empty for a world.
    digests : tuple of str
        SHA-256 of each unpacked file, if known.
    url, url_hash : str, optional
        Official address for the automatic download, and the checksum of the file there: SHA-256, or MD5 as ``md5:…``.
        By default the checksum is the first of ``digests``.
    wheel : Wheel, optional
        The package that contains the file, used if the address cannot be reached.

    Examples
    --------
    >>> source = SOURCES["movietweetings-100k"]
    >>> source.licence, source.files
    ('MIT', (('ratings.dat',),))
    >>> get_source("amazon-2014:Digital_Music").folder
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
        """str: the name of the data set's own folder; all categories of a data set have the same."""
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
        "data/rsc15/prepared of the session-rec repository",
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
        "sasrec-video", "reviews of video games at Amazon, in each user's order, without times",
        "3 MB, 287,107 actions", "none stated",
        "Wang-Cheng Kang, UCSD, https://github.com/kang205/SASRec",
        "fetched from the official address when first loaded",
        files=(("Video.txt",),),
        digests=("b7376fe24430743f411dc7f567285657b2adb3f74361cc7ba0aee94f3024b651",),
        url="https://raw.githubusercontent.com/kang205/SASRec/master/data/Video.txt",
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
        "movielens-latest-small", "ratings of movies, half a star to 5, over 22 years, as of September 2018",
        "1 MB, 100,836 ratings",
        how="fetched from the official address when first loaded; by hand, take ratings.csv out of "
            "ml-latest-small.zip",
        files=(("ratings.csv",),),
        url="https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
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


def get_source(name):
    """The data set of this name, such as ``"netflix"`` or ``"amazon-2014:Digital_Music"``.

    Parameters
    ----------
    name : str

    Returns
    -------
    Source

    Raises
    ------
    KeyError
        There is no data set of this name.
    ValueError
        The category contains a character that is not a letter, a digit or ``_``.

    Examples
    --------
    >>> get_source("amazon-2014:Digital_Music").files
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
