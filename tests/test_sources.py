"""Finding and downloading: the order of places, and nothing half-written or wrong may stay."""

import gzip
import hashlib
import io
import re
import subprocess
import sys
import tempfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from rnnbook import cli, sources
from rnnbook.data import LOGS, RATINGS, REVIEWS, SPLITS, load_ratings, load_reviews, load_sessions
from rnnbook.interactions.tables import DataError

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
CLICKS = (SAMPLES / "rsc15" / "yoochoose-clicks.dat").read_bytes()
STARS = (SAMPLES / "movielens-100k" / "u.data").read_bytes()
TWEETS = (SAMPLES / "movietweetings-100k" / "ratings.dat").read_bytes()
REVIEW = gzip.compress(b'{"reviewerID": "A1", "asin": "B1", "overall": 5.0, "reviewText": "Soft.", '
                       b'"unixReviewTime": 1}')
INTER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + STARS


def zipped(members, damage=False):
    """A zip archive as bytes; damaged, it holds another byte than its checksum says."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        found = file.getvalue()
    return found.replace(STARS[:20], b"x" + STARS[1:20]) if damage else found


ZIP = zipped({"ml-100k/README": "of u.data", "__MACOSX/._u.data": b"no", "ml-100k/u.data": STARS})


class Site(BaseHTTPRequestHandler):
    """A tiny mirror: a good file, one that breaks off, a wrong one, an archive, and nothing."""

    pages = {"/good/yoochoose-clicks.dat": CLICKS, "/wrong/yoochoose-clicks.dat": b"<html>moved</html>",
             "/cut/yoochoose-clicks.dat": CLICKS, "/good/yoochoose-data.7z": b"7z archive",
             "/bad/yoochoose-data.7z": b"no", "/good/ml-100k.zip": ZIP, "/cut/ml-100k.zip": ZIP,
             "/bad/ml-100k.zip": zipped({"ml-100k/u.data": STARS}, damage=True), "/html/ml-100k.zip": b"<html>",
             "/empty/ml-100k.zip": zipped({"ml-100k/README": "gone"}), "/good/ratings.dat": TWEETS,
             "/wrong/ratings.dat": TWEETS[:-1] + b"9", "/good/reviews_Baby_5.json.gz": REVIEW}

    def do_GET(self):
        body = self.pages.get(self.path)
        if body is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2] if self.path.startswith("/cut") else body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache and no RNNBOOK_DATA."""
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("RNNBOOK_DATA", raising=False)
    return tmp_path / "cache" / "rnnbook"


@pytest.fixture
def change(cache, monkeypatch):
    """Change what is known of a source."""
    def change(name, **fields):
        monkeypatch.setitem(sources.SOURCES, name, replace(sources.SOURCES[name], **fields))
    return change


@pytest.fixture
def rsc15(change):
    """Make rsc15 come from another address, with the right checksum unless told."""
    return lambda **fields: change("rsc15", **{"url_hash": hashlib.sha256(CLICKS).hexdigest()} | fields)


@pytest.fixture
def movielens(change):
    """Make MovieLens 100K come from another address, with the right checksum and no package unless told."""
    digest = f"md5:{hashlib.md5(ZIP).hexdigest()}"
    return lambda **fields: change("movielens-100k", **{"url_hash": digest, "wheel": None} | fields)


def left_over(cache):
    return [path for path in cache.rglob("*") if path.is_file()] if cache.exists() else []


def put(folder, content=CLICKS, name="yoochoose-clicks.dat"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


# ---- the order of places -----------------------------------------------------------------------------------


def test_the_given_folder_then_the_cache_then_the_address(address, cache, rsc15, tmp_path, monkeypatch):
    rsc15(url=f"{address}/good/yoochoose-clicks.dat")
    source = sources.SOURCES["rsc15"]
    assert sources.find(source) is None
    in_cache = cache / "rsc15" / "yoochoose-clicks.dat"
    assert sources.locate(source) == [in_cache] and in_cache.read_bytes() == CLICKS
    assert left_over(cache) == [in_cache]

    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path / "mine"))
    assert sources.locate(source) == [in_cache]
    direct = put(tmp_path / "mine")
    assert sources.locate(source) == [direct]
    inside = put(tmp_path / "mine" / "rsc15", name="yoochoose-clicks.dat.gz")
    assert sources.locate(source) == [inside]


def test_half_a_data_set_is_not_here(cache):
    put(cache / "yoochoose-100k", b"x", "train.tsv.gz")
    assert sources.find(sources.SOURCES["yoochoose-100k"]) is None
    put(cache / "yoochoose-100k", b"x", "yoochoose-clicks-100k_test.txt")
    assert [path.name for path in sources.find(sources.SOURCES["yoochoose-100k"])] == [
        "train.tsv.gz", "yoochoose-clicks-100k_test.txt"]


def test_a_file_name_of_two_data_sets_counts_only_in_the_folder_of_one(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    put(tmp_path, TWEETS, "ratings.dat")
    one, other = (sources.SOURCES[name] for name in ("movielens-1m", "movietweetings-100k"))
    assert sources.find(one) is sources.find(other) is None
    inside = put(tmp_path / "movielens-1m", b"1::1::5::978300760", "ratings.dat")
    assert sources.find(one) == [inside] and sources.find(other) is None
    assert load_ratings("movielens-1m").to_frame().values.tolist() == [[1, 1, 5, 978300760]]


@pytest.mark.parametrize(("name", "load"), [("yoochoose-100k", load_sessions), ("retailrocket", load_sessions),
                                            ("diginetica", load_sessions), ("netflix", load_ratings)])
def test_what_has_no_address_is_explained(cache, name, load):
    source = sources.SOURCES[name]
    with pytest.raises(FileNotFoundError) as error:
        load(name)
    place = (source.files[0][0], str(cache / name), "RNNBOOK_DATA")
    for part in (source.how, source.origin, source.licence, *place):
        assert part in str(error.value)


def test_the_categories_of_one_form_share_a_folder(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    music, baby = (sources.get_source(f"amazon-2014:{category}") for category in ("Digital_Music", "Baby"))
    assert music.url.endswith("/categoryFiles/reviews_Digital_Music_5.json.gz") and music.folder == "amazon-2014"
    inside = put(tmp_path / "amazon-2014", name="reviews_Digital_Music_5.json")
    assert sources.locate(music) == [inside] and sources.find(baby) is None
    stored = put(cache / "amazon-2014", name="reviews_Baby_5.json.gz")
    assert sources.locate(baby) == [stored]
    assert sources.get_source("netflix") is sources.SOURCES["netflix"]


@pytest.mark.parametrize("category", ["../../etc", "", "<Category>", "Digital Music", "*", "a/b", "a.b", "Bücher",
                                      "a:b", "Baby\n"])
@pytest.mark.parametrize("form", ["amazon-2014", "amazon-2023"])
def test_what_is_no_category_is_refused_before_any_file_is_touched(cache, form, category):
    with pytest.raises(ValueError, match=f"names no category: {form}:<Category> with letters, digits and _ only, such "
                                         f"as {form}:Digital_Music. They are listed at https://"):
        load_reviews(f"{form}:{category}")
    assert left_over(cache) == []


# ---- downloads ---------------------------------------------------------------------------------------------


def test_a_download_is_loaded_and_kept(address, cache, rsc15):
    rsc15(url=f"{address}/good/yoochoose-clicks.dat")
    train, _ = load_sessions("rsc15")
    assert train.report["rows read"] == 45 and len(left_over(cache)) == 1
    rsc15(url=f"{address}/gone/yoochoose-clicks.dat")
    assert load_sessions("rsc15")[0].sha256 == train.sha256  # from the cache


@pytest.mark.parametrize(("url", "fields", "reason"), [
    ("/cut/yoochoose-clicks.dat", {"url_hash": None}, r"broken|more expected|IncompleteRead"),
    ("/cut/yoochoose-clicks.dat", {}, r"broken|more expected|IncompleteRead"),
    ("/wrong/yoochoose-clicks.dat", {}, r"SHA256 hash .*does not match"),
    ("/gone/yoochoose-clicks.dat", {}, r"404"),
])
def test_a_failed_download_leaves_nothing_and_says_what_to_do(address, cache, rsc15, url, fields, reason):
    rsc15(url=address + url, **fields)
    with pytest.raises(DataError, match=reason) as error:
        load_sessions("rsc15")
    assert left_over(cache) == []
    for part in (address + url, "Nothing of it was kept", "yoochoose-clicks.dat", str(cache / "rsc15")):
        assert part in str(error.value)


def test_a_category_is_downloaded_to_the_folder_of_its_form(address, cache, change):
    change("amazon-2014:<Category>", url=f"{address}/good/reviews_<Category>_5.json.gz")
    data = load_reviews("amazon-2014:Baby")
    assert (data.name, data.text(0)) == ("amazon-2014:Baby", "Soft.")
    [stored] = left_over(cache)
    assert stored == cache / "amazon-2014" / "reviews_Baby_5.json.gz" and stored.read_bytes() == REVIEW
    with pytest.raises(DataError, match=r"_Books_5.json.gz did not arrive whole: 404.* lists the cat") as error:
        load_reviews("amazon-2014:Books")
    assert f"into {cache / 'amazon-2014'}, or into a folder amazon-2014 " in str(error.value)
    assert left_over(cache) == [stored]


def test_no_one_answers(cache, rsc15):
    rsc15(url="http://127.0.0.1:9/yoochoose-clicks.dat")
    with pytest.raises(DataError, match="did not arrive whole"):
        load_sessions("rsc15")
    assert left_over(cache) == []


def tool(folder, monkeypatch, script):
    """A stand-in for 7z on an otherwise empty path."""
    folder.mkdir()
    if script:
        (folder / "7z").write_text(f"#!{sys.executable}\nimport sys\n{script}")
        (folder / "7z").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


UNPACK = f"""
assert sys.argv[1:3] == ["x", "-so"] and sys.argv[4] == "yoochoose-clicks.dat"
if open(sys.argv[3], "rb").read() == b"no": sys.exit("Can not open the file as archive")
sys.stdout.buffer.write(open({str(SAMPLES / 'rsc15' / 'yoochoose-clicks.dat')!r}, "rb").read())
"""


def test_an_archive_is_unpacked_and_removed(address, cache, rsc15, tmp_path, monkeypatch):
    rsc15(url=f"{address}/good/yoochoose-data.7z", url_hash=None)
    tool(tmp_path / "bin", monkeypatch, UNPACK)
    assert load_sessions("rsc15")[0].report["rows read"] == 45
    assert [path.name for path in left_over(cache)] == ["yoochoose-clicks.dat"]


def test_a_damaged_archive_is_removed(address, cache, rsc15, tmp_path, monkeypatch):
    rsc15(url=f"{address}/bad/yoochoose-data.7z", url_hash=None)
    tool(tmp_path / "bin", monkeypatch, UNPACK)
    with pytest.raises(DataError, match="is damaged: 7z could not take"):
        load_sessions("rsc15")
    assert left_over(cache) == []


def test_without_a_program_to_unpack_the_archive_waits(address, cache, rsc15, tmp_path, monkeypatch):
    rsc15(url=f"{address}/good/yoochoose-data.7z", url_hash=None)
    tool(tmp_path / "bin", monkeypatch, None)
    with pytest.raises(DataError, match="apt install 7zip"):
        load_sessions("rsc15")
    assert [path.name for path in left_over(cache)] == ["yoochoose-data.7z"]


def test_the_wanted_member_of_a_zip_is_kept_and_nothing_else(address, cache, movielens):
    movielens(url=f"{address}/good/ml-100k.zip")
    data = load_ratings("movielens-100k")
    assert data.n_ratings == 24
    assert [path.name for path in left_over(cache)] == ["u.data"]
    assert (cache / "movielens-100k" / "u.data").read_bytes() == STARS
    movielens(url=f"{address}/gone/ml-100k.zip")
    assert load_ratings("movielens-100k").sha256 == data.sha256  # from the cache


@pytest.mark.parametrize(("url", "fields", "reason"), [
    ("/cut/ml-100k.zip", {}, r"broken|more expected|IncompleteRead"),
    ("/bad/ml-100k.zip", {}, r"MD5 hash .*does not match"),
    ("/bad/ml-100k.zip", {"url_hash": None}, r"ml-100k.zip .* is damaged: Bad CRC-32 .* deleted; load again"),
    ("/html/ml-100k.zip", {"url_hash": None}, r"is damaged: File is not a zip file"),
    ("/empty/ml-100k.zip", {"url_hash": None}, r"is damaged: it holds no u.data"),
])
def test_a_zip_that_is_not_whole_leaves_nothing(address, cache, movielens, url, fields, reason):
    movielens(url=address + url, **fields)
    with pytest.raises(DataError, match=reason) as error:
        load_ratings("movielens-100k")
    assert left_over(cache) == []
    for part in (address + url, "Put u.data or ml-100k.inter", str(cache / "movielens-100k")):
        assert part in str(error.value)


def test_a_lone_file_is_checked_by_its_own_digest(address, cache, change):
    digest = hashlib.sha256(TWEETS).hexdigest()
    change("movietweetings-100k", url=f"{address}/wrong/ratings.dat", digests=(digest,))
    with pytest.raises(DataError, match=r"SHA256 hash .*does not match"):
        load_ratings("movietweetings-100k")
    assert left_over(cache) == []
    change("movietweetings-100k", url=f"{address}/good/ratings.dat")
    assert load_ratings("movietweetings-100k").n_ratings == 24


# ---- out of a Python package -------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Makes packages for pip, which finds nothing else and asks no network; and watches its temporary files."""
    def add(members):
        info = {"recbole-1.2.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n",
                "recbole-1.2.1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                "recbole-1.2.1.dist-info/RECORD": ""}
        put(tmp_path / "shelf", zipped(members | info), "recbole-1.2.1-py3-none-any.whl")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield add
    assert list((tmp_path / "temporary").iterdir()) == []


MEMBER = "recbole/dataset_example/ml-100k/ml-100k.inter"
WHEEL = sources.SOURCES["movielens-100k"].wheel


def test_what_the_address_does_not_give_comes_out_of_a_package(cache, movielens, shelf, tmp_path, monkeypatch):
    assert (WHEEL.requirement, WHEEL.member) == ("recbole==1.2.1", MEMBER)
    shelf({MEMBER: INTER, "recbole/data/ml-100k.inter": b"another"})
    movielens(url="http://127.0.0.1:9/ml-100k.zip", wheel=WHEEL._replace(sha256=hashlib.sha256(INTER).hexdigest()))
    data = load_ratings("movielens-100k")
    assert [path.name for path in left_over(cache)] == ["ml-100k.inter"]
    assert (cache / "movielens-100k" / "ml-100k.inter").read_bytes() == INTER
    monkeypatch.setenv("RNNBOOK_DATA", str(SAMPLES))
    assert load_ratings("movielens-100k").sha256 == data.sha256  # the other form


def test_the_address_comes_before_the_package(address, cache, movielens, shelf):
    movielens(url=f"{address}/good/ml-100k.zip", wheel=WHEEL)  # the shelf is empty
    assert load_ratings("movielens-100k").n_ratings == 24
    assert [path.name for path in left_over(cache)] == ["u.data"]


@pytest.mark.parametrize(("members", "reason"), [
    (None, r"pip says ERROR: No matching distribution found for recbole==1\.2\.1"),
    ({MEMBER: INTER}, r"SHA-256 of ml-100k.inter is [0-9a-f]{64}, expected 4edb74e2a81178c2"),
    ({"recbole/__init__.py": b""}, r"it holds no recbole/dataset_example/ml-100k/ml-100k.inter"),
])
def test_a_package_that_is_not_the_right_one_leaves_nothing(cache, movielens, shelf, members, reason):
    if members:
        shelf(members)
    movielens(url="http://127.0.0.1:9/ml-100k.zip", wheel=WHEEL)
    with pytest.raises(DataError, match=rf"127.0.0.1:9.* did not arrive .*; nor did recbole==1.2.1: {reason}"):
        load_ratings("movielens-100k")
    assert left_over(cache) == []


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("RNNBOOK_DATA", str(SAMPLES))
    with pytest.raises(DataError, match=r"train.tsv is not the published file: SHA-256 .* get it again"):
        load_sessions("yoochoose-100k")
    digests = tuple(hashlib.sha256((SAMPLES / "yoochoose-100k" / f"{half}.tsv").read_bytes()).hexdigest()
                    for half in ("train", "test"))
    monkeypatch.setitem(sources.SOURCES, "yoochoose-100k",
                        replace(sources.SOURCES["yoochoose-100k"], digests=digests))
    assert load_sessions("yoochoose-100k")[0].n_events == 27
    put(cache / "yoochoose-100k", b"\x1f\x8b\x08 cut", "train.tsv.gz")
    put(cache / "yoochoose-100k", b"", "test.tsv")
    monkeypatch.delenv("RNNBOOK_DATA")
    with pytest.raises(DataError, match=r"train.tsv.gz is not the published file: SHA-256 unreadable"):
        load_sessions("yoochoose-100k")


# ---- the catalogue and the command line --------------------------------------------------------------------


def test_every_source_can_be_loaded_and_every_loader_has_a_source():
    assert set(sources.SOURCES) == set(SPLITS | LOGS | RATINGS | REVIEWS)


@pytest.mark.parametrize("name", sources.SOURCES)
def test_every_source_is_described(name):
    """In the table and among the formats of data/README.md, unless it is made here, and where its loader is."""
    readme = (SAMPLES.parent / "README.md").read_text(encoding="utf-8")
    places = [re.split(r" \| ", line)[0] for line in readme.splitlines() if line.startswith("| `")]
    mentions = sum(f"`{name.partition(':')[0]}" in place for place in places)
    assert mentions == (2 if sources.SOURCES[name].files else 1), f"data/README.md lacks {name} or its format"
    load = load_sessions if name in SPLITS | LOGS else load_ratings if name in RATINGS else load_reviews
    assert f'``"{name.partition("<")[0]}' in load.__doc__, f"the docstring of {load.__name__} lacks {name}"


def test_the_samples_are_the_only_data_in_the_repository():
    files = [path for path in SAMPLES.rglob("*") if path.is_file()]
    assert files and sum(path.stat().st_size for path in files) < 20_000


def test_the_list_names_every_set_its_place_licence_and_way(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    put(tmp_path / "rsc15")
    cli.main(["data"])
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for source in sources.SOURCES.values():
        for part in (source.name, source.licence, source.size, source.origin):
            assert part in text
    assert f"path {tmp_path / 'rsc15'}" in text and f"get {sources.SOURCES['retailrocket'].how}" in text
    assert "session-world built in" in text and "rating-world built in" in text and "netflix no" in text
    assert "rsc15 yes" in text and "diginetica no" in text
    assert "amazon-2014:<Category> no" in text and "amazon-2023:<Category> no" in text
    put(tmp_path / "amazon-2014", name="reviews_Baby_5.json.gz")
    assert re.search(r"amazon-2014:<Category> +yes", cli.list_data())


def test_the_list_comes_without_loading_torch():
    code = "import sys; from rnnbook.cli import main; main(['data']); assert 'torch' not in sys.modules"
    assert "yoochoose-100k" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                              check=True).stdout


def test_an_unknown_experiment_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "nothing"])
    assert "gru4rec-yoochoose-100k" in capsys.readouterr().err


def test_an_experiment_whose_data_are_not_here_says_how_to_get_them(cache, monkeypatch, capsys):
    module = type(sys)("rnnbook.benchmarks.gru4rec")
    module.main = lambda experiment: load_sessions("yoochoose-100k")
    monkeypatch.setitem(sys.modules, "rnnbook.benchmarks.gru4rec", module)
    with pytest.raises(SystemExit, match="1"):
        cli.main(["reproduce", "gru4rec-yoochoose-100k"])
    assert capsys.readouterr().err.startswith("yoochoose-100k is not here. To have it: ")


def test_an_experiment_is_handed_to_its_module(monkeypatch):
    called = []
    module = type(sys)("rnnbook.benchmarks.gru4rec")
    module.main = called.append
    monkeypatch.setitem(sys.modules, "rnnbook.benchmarks.gru4rec", module)
    cli.main(["reproduce", "gru4rec-yoochoose-100k"])
    assert called == ["gru4rec-yoochoose-100k"]
