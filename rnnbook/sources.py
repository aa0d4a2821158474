"""Where each data set comes from, under which licence, and where it is on this machine.

None of the real data sets is part of this package: their licences forbid it. They are looked for in the
folder that ``RNNBOOK_DATA`` names, then in the cache, then at their official address.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from tqdm.auto import tqdm

from .tables import DataError


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes
    ----------
    files : tuple of tuples of str
        For each file the names it goes by; each may also end in ``.gz``.
    digests : tuple of str
        SHA-256 of each file, unpacked, where the published ones are known.
    url, archive_sha256 : str, optional
        Official address for the automatic download, and the checksum of what lies there, if known.
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
    archive_sha256: str | None = None


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
)}


def cache():
    """The folder for downloads."""
    return Path(pooch.os_cache("rnnbook"))


def folders(source):
    """The folders to search for a data set, best first."""
    given = os.environ.get("RNNBOOK_DATA")
    return ([Path(given) / source.name, Path(given)] if given else []) + [cache() / source.name]


def find(source):
    """Paths of the data set's files, or None unless all of them are in one folder."""
    for folder in folders(source):
        paths = [next((path for name in names for path in (folder / name, folder / f"{name}.gz")
                       if path.is_file()), None) for names in source.files]
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
                f"get it again ({source.how}). If it is your own version, load it by its folder: "
                f"load_sessions({str(path.parent)!r}).")
    return paths


def _by_hand(source):
    wanted = " and ".join(" or ".join(names) for names in source.files)
    given = os.environ.get("RNNBOOK_DATA")
    return (f"To have it: {source.how}. Source: {source.origin}. Licence: {source.licence}. "
            f"Put {wanted} (may end in .gz) into {cache() / source.name}, or into a folder {source.name} "
            f"inside the one that RNNBOOK_DATA names ({f'now {given}' if given else 'now not set'}).")


def _download(source):
    """Fetch the address under a temporary name, check it, unpack it if it is an archive."""
    folder = cache() / source.name
    name = source.url.rsplit("/", 1)[-1]
    try:
        path = Path(pooch.retrieve(source.url, source.archive_sha256, name, folder, downloader=_fetch))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong checksum is a ValueError
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{source.url} did not arrive whole: {reason} Nothing of it was kept. "
                        f"{_by_hand(source)}") from error
    return _unpack(path, source) if path.suffix == ".7z" else path


def _fetch(url, path, _):
    """What pooch calls with its temporary path; unlike its own, this closes a broken connection."""
    with requests.get(url, stream=True, timeout=60) as response, open(path, "wb") as file:
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0))
        with tqdm(total=size or None, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1]) as bar:
            for chunk in response.iter_content(1 << 20):
                bar.update(file.write(chunk))


def _unpack(archive, source):
    """The one wanted file out of a 7z archive, which needs a program: Python has none."""
    wanted = archive.parent / source.files[0][0]
    commands = {"7z": ["x", "-so"], "7zz": ["x", "-so"], "7za": ["x", "-so"], "bsdtar": ["-xOf"]}
    tool = next((tool for tool in commands if shutil.which(tool)), None)
    if tool is None:
        raise DataError(f"{archive} is here, but no program to unpack it. Install 7-Zip (Debian and Colab: "
                        f"apt install 7zip; macOS: brew install sevenzip) and load again, or put "
                        f"{wanted.name} beside it.")
    with tempfile.NamedTemporaryFile(dir=archive.parent, delete=False) as part:
        done = subprocess.run([tool, *commands[tool], str(archive), wanted.name], stdout=part,
                              stderr=subprocess.PIPE, check=False)
    if done.returncode or not Path(part.name).stat().st_size:
        Path(part.name).unlink()
        archive.unlink()
        raise DataError(f"{archive.name} from {source.url} is damaged: {tool} could not take {wanted.name} "
                        f"out of it. It was deleted; load again. {_by_hand(source)}")
    os.replace(part.name, wanted)
    archive.unlink()
    return wanted


def _sha256(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except (EOFError, OSError) as error:
            return f"unreadable ({error})"
