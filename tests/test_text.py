"""Text tables: every row is read, or a refusal names the line, whatever the texts hold; counted in another way."""

import csv
import doctest
import importlib
import io
import re
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnnbook.data import load_ratings, load_reviews, load_sessions
from rnnbook.interactions import records
from rnnbook.interactions.records import LITERAL
from rnnbook.interactions.tables import DataError, read_events, read_ratings, read_reviews

T0 = 1_396_342_800
HOSTILE = st.text(st.sampled_from('""",,;\t|\n\r\'ab é😀\\ '), max_size=8)  # quotes above all
SEPARATORS = st.sampled_from([",", "\t", ";", "|"])


@contextmanager
def written(content):
    with TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        yield path


@st.composite
def tables(draw, texts=HOSTILE):
    """Rows of session, item and time, with a text in any of the four places, and the names of the columns."""
    n = draw(st.integers(1, 12))
    titles = draw(st.lists(texts, min_size=n, max_size=n))
    at = draw(st.integers(0, 3))
    rows, names = [], ["session", "item", "time"]
    for i, title in enumerate(titles):
        row = [str(i // 3), f"i{i % 4}", str(T0 + i)]
        rows.append([*row[:at], title, *row[at:]])
    return [*names[:at], "title", *names[at:]], rows


def wanted(names, rows):
    """What a reader has to return of these rows."""
    places = [names.index(name) for name in ("session", "item", "time", "title")]
    return [(int(row[places[0]]), row[places[1]], float(row[places[2]]), row[places[3]]) for row in rows]


def read(path, **options):
    frame, report = read_events(path, extra={"title": "title"}, **options)
    assert report["rows read"] == len(frame)
    return frame.fill_null("").rows(), report


@settings(max_examples=200, deadline=None)
@given(tables(), SEPARATORS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
       st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_writes_is_read_as_it_was(table, separator, quoting, end):
    names, rows = table
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end).writerows([names, *rows])
    with written(file.getvalue()) as path:
        found, report = read(path, separator=separator)
        assert [row[:3] for row in found] == [row[:3] for row in wanted(names, rows)] and LITERAL not in report
        for (*_, mine), (*_, title) in zip(found, wanted(names, rows), strict=True):
            assert mine == title or mine + "\r" == title  # without quotes it is the end of a line to polars
        if "\r" not in "".join(row[names.index("title")] for row in rows):  # Python ends a line at each
            by_python = csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=separator)
            assert len(found) == sum(1 for _ in by_python) - 1


@settings(max_examples=200, deadline=None)
@given(tables(), SEPARATORS, st.sampled_from(["\n", "\r\n"]), st.sampled_from(['"', None]))
def test_what_is_written_without_a_rule_is_read_or_refused_by_line(table, separator, end, quote):
    """Texts may hold line breaks and separators with nothing around them."""
    names, rows = table
    with written(end.join(map(separator.join, [names, *rows])) + end) as path:
        try:
            found, _ = read(path, separator=separator, quote_char=quote)
        except DataError as error:
            if not re.search(r"line \d+", str(error)):
                raise
            return
        if [row[:3] for row in found] != [row[:3] for row in wanted(names, rows)]:  # by chance it is csv of other rows
            file = io.StringIO(path.read_bytes().decode().replace("\r", ""))  # Python ends a line at each
            by_python = csv.reader(file, delimiter=separator, strict=True)
            others = [row for row in list(by_python)[1:] if row]
            assert quote and [row[:3] for row in found] == [row[:3] for row in wanted(names, others)]


@settings(max_examples=200, deadline=None)
@given(tables(st.text(st.sampled_from('""ab é\'\\ '), max_size=8)), SEPARATORS, st.sampled_from(["\n", "\r\n"]))
def test_quotes_in_a_file_that_uses_none_are_characters(table, separator, end):
    names, rows = table
    with written(end.join(map(separator.join, [names, *rows]))) as path:
        found, report = read(path, separator=separator, quote_char=None)
        assert found == wanted(names, rows) and report == {"rows read": len(rows)}
        found, _ = read(path, separator=separator)  # without being told: quotes around a whole text are taken away
        assert [row[:3] for row in found] == [row[:3] for row in wanted(names, rows)]
        for (*_, mine), (*_, text) in zip(found, wanted(names, rows), strict=True):
            assert mine == text or text[:1] == text[-1:] == '"'


@settings(max_examples=60, deadline=None)
@given(tables(st.sampled_from(["x", '"', 'a "b"', "a,b", "a\nb", ""])), st.integers(1, 4))
def test_the_batches_of_the_slow_reader_make_no_difference(table, batch):
    names, rows = table
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([names, *rows])
    with written(file.getvalue()) as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BATCH", batch)
        assert read(path)[0] == wanted(names, rows)


# ---- quotes by hand ------------------------------------------------------------------------------------------


def log(*titles, separator="\t"):
    """A log with a title for each of its rows; None is a plain one."""
    rows = [[str(n // 3), str(n % 4), str(T0 + n), title or "x"] for n, title in enumerate(titles)]
    return "\n".join(map(separator.join, [["session", "item", "time", "title"], *rows])) + "\n"


@pytest.mark.parametrize(("titles", "literal"), [
    (['"Heroes', *[None] * 50, 'Heroes"'], 2),  # each line between looks like a row of its own
    (['"Heroes', *[None] * 50], 1),
    ([None, '12" mix'], 1),
    (['12" mix', '7" edit', None], 2),
    (['"Heroes" live', None, '"Low"', '12" mix'], 2),
    (['"', '"', '"'], 3),
    (['"a', '""', 'b"'], 2),  # an empty text between
])
def test_quotes_that_are_characters_lose_no_row(titles, literal):
    with written(log(*titles)) as path:
        frame, report = read_events(path)
        assert len(frame) == len(titles) and frame["time"].to_list() == [T0 + n for n in range(len(titles))]
        assert report == {"rows read": len(titles), LITERAL: literal}


def test_a_text_over_several_lines_is_one_record_and_later_lines_keep_their_number():
    content = log(None, '"two\nlines, ""said"" he"', '12" mix', '"three\n\nlines"') + "9\t9\tsoon\tx\n"
    with written(content) as path:
        with pytest.raises(DataError, match=r"column 'time': .* at line 9 \('soon'\)"):
            read_events(path)
        path.write_text(content.replace("soon", str(T0)))
        frame, report = read_events(path, extra={"title": "title"})
        assert frame["title"].to_list() == ["x", 'two\nlines, "said" he', '12" mix', "three\n\nlines", "x"]
        assert report == {"rows read": 5, LITERAL: 1}


@pytest.mark.parametrize(("content", "message"), [
    (log(None, '"open, and\nnever closed'), r"cannot be read: line 4 has 1 field where the first has 4"),
    ('item,session,time,title\n1,2,5,"a, b\n1,2,6,c\n', r"line 2 opens a quote that does not close\. Close it, or del"),
    ("session,item,time\n1,2,3\n4,5\n", r"line 3 has 2 fields where the first has 3\. Complete or delete that line"),
    ("session,item,time\n1,2,3\n4,5,6,7\n", r"line 3 has 4 fields where .* 3\. Look for a stray ',' there, or put"),
    ('session,item,time\n1,"2",3\n4,5,"6",7\n', r"line 3 has 4 fields where the first has 3"),
    ('session,item,time,title\n1,2,3,"a"\n4,5,6\n', r"line 3 has 3 fields where the first has 4"),
    ("session,item,time,title\n1,2,3,\n\n4,5,6\n", r"line 4 has 3 fields where the first has 4"),
    ("session,item,time\n1,a\nb,3\n", r"line 2 has 2 fields where the first has 3"),
    ("session,item,time\r1,2,3\r4,5,6\r", r"end in a carriage return, as on old Macs.* tr '\\r' '\\n' < OLD > NEW"),
])
def test_a_line_of_another_width_is_refused(content, message):
    with written(content) as path, pytest.raises(DataError, match=message):
        read_events(path)


def test_a_file_with_both_habits_is_refused_by_line():
    """Quotes that span lines, and quotes that open a text and do not close: one of them is a mistake."""
    content = log('"Heroes', None, '"two\nlines"')
    with written(content) as path:
        with pytest.raises(DataError, match=r"line 4 opens a quote that closes further down, but the one on line 2 "):
            read_events(path)
        path.write_text(content.replace('"Heroes', '"Heroes"'))
        assert len(read_events(path)[0]) == 3
        path.write_text(log('"two\nlines"', None, '"Heroes'))
        with pytest.raises(DataError, match=r"line 5 opens a quote that does not close\. Close it, or delete"):
            read_events(path)


def test_with_quotes_off_a_line_that_needs_them_says_so():
    with written('session,item,time,title\n1,2,3,"a, b"\n') as path:
        assert read_events(path)[1] == {"rows read": 1}
        with pytest.raises(DataError, match=r"line 2 has 5 fields .* in quotes, leave out quote_char=None"):
            read_events(path, quote_char=None)


def test_another_quote_is_taken_if_named():
    with written("session,item,time\n1,'a,b',3\n2,'it''s',4\n") as path:
        assert read_events(path, quote_char="'")[0]["item"].to_list() == ["a,b", "it's"]
        for wrong in ("", "''", "é", 7):
            with pytest.raises(ValueError, match="quote_char is one character"):
                read_events(path, quote_char=wrong)


def test_blank_lines_before_the_header_are_counted_in_line_numbers():
    with written("\n\nsession,item,time\n1,2,3\n1,2,soon\n") as path, pytest.raises(DataError, match="at line 5"):
        read_events(path)


def test_the_last_field_may_be_empty_without_being_a_fault():
    with written("session,item,time,title\n1,2,3,\n1,2,4,x\n,,,\n") as path:
        assert read_events(path)[1] == {"rows read": 2, "blank lines skipped": 1}


def test_a_hundred_thousand_open_quotes_do_not_take_the_square_of_the_time():
    begin = time.perf_counter()
    with written(log(*(['"open', None] * 50_000))) as path:
        assert len(read_events(path)[0]) == 100_000
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize("module", ["columns", "errors", "ids", "json_lines", "records", "tables", "text", "times"])
def test_the_examples_of_the_reader_run(module):
    """The page of the package does not show its modules, so `test_examples` does not run them."""
    module = importlib.import_module(f"rnnbook.interactions.{module}")
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


@pytest.mark.parametrize(("content", "change", "n"), [
    ("session,item,time\r1,2,3\r4,5,6\r", lambda text: text.replace("\r", "\n"), 2),  # tr '\r' '\n'
    ("session,item,time\n1,2,3\n4,5\n", lambda text: text.replace("4,5", "4,5,6"), 2),  # complete
    ("session,item,time\n1,2,3\n4,5\n", lambda text: text.replace("4,5\n", ""), 1),  # or delete
    ("session,item,time,title\n1,2,3,x\n4,5,6,a, b\n", lambda text: text.replace("a, b", '"a, b"'), 2),
    ('title,session,item,time\nx,1,2,3\n"a, b,1,2,3\n', lambda text: text.replace('"a, b', '"a, b"'), 2),
])
def test_the_remedies_for_lines_work_when_they_are_followed(content, change, n):
    with written(content) as path:
        with pytest.raises(DataError):
            read_events(path)
        path.write_text(change(content))
        assert len(read_events(path)[0]) == n


def test_the_remedy_for_a_column_of_several_types_works_when_it_is_followed():
    df = pd.DataFrame({"session": 1, "item": pd.Series([7, "x", 7.0], dtype=object), "time": [1, 2, 3]})
    with pytest.raises(DataError, match=r"int in the first row, str in row 1\. .* df\['item'\]\.astype\(str\)"):
        read_events(df)
    assert read_events(df.assign(item=df["item"].astype(str)))[0]["item"].to_list() == ["7", "x", "7.0"]


# ---- separators and header lines -----------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
def test_the_separator_is_told_from_the_first_lines(separator):
    """Also where another one is more frequent in the first of them."""
    title = {",": "a;b", "\t": "a, b, c, d, e, f", ";": "1,5", "|": "a, b", "::": "a,b"}[separator]
    with written(log(title, None, "plain", separator=separator)) as path:
        assert len(read_events(path)[0]) == 3


def test_the_separator_may_be_named():
    with written("session item time\n1 a,b 5\n") as path:
        assert read_events(path, separator=" ")[0].rows() == [(1, "a,b", 5.0)]
        path.write_text("session~~item~~time\n1~~a~b~~5\n")
        assert read_events(path, separator="~~")[0].rows() == [(1, "a~b", 5.0)]


def test_what_is_no_text_file_has_no_separator_and_no_header(tmp_path):
    df = pd.DataFrame({"session": [1], "item": [2], "time": [3]})
    df.to_parquet(tmp_path / "log.parquet")
    (tmp_path / "log.jsonl").write_text('{"session": 1, "item": 2, "time": 3}\n')
    for source in (df, tmp_path / "log.parquet", tmp_path / "log.jsonl"):
        for option in ({"header": ["session", "item", "time"]}, {"separator": ","}):
            with pytest.raises(TypeError, match="has columns of its own; header= and separator= are for text files"):
                read_events(source, **option)


def test_a_header_has_a_name_for_each_column_and_is_not_given_twice():
    with written("1,2,3\n4,5,6\n") as path:
        assert read_events(path, header=["item", "time", "session"])[0].rows() == [(3, 1, 2.0), (6, 4, 5.0)]
        with pytest.raises(DataError, match=r"header= names 2 columns, but line 1 has 3 fields\. Give a name to each"):
            read_events(path, header=["item", "time"])
        path.write_text("session,item,time\n1,2,3\n")
        for header in ("session", "item", "time"), ("session", "time", "item"), ("Item", "session", "time"):
            with pytest.raises(DataError, match=r"line 1 is a header line already\. Leave header= out, .* --header\."):
                read_events(path, header=list(header))
        assert len(read_events(path)[0]) == 1


@pytest.mark.parametrize(("inside", "given"), [(",", ";"), (";", ","), ("\t", ","), ("|", "\t"), ("::", "|")])
@pytest.mark.parametrize("header", [True, False])
def test_a_wrong_separator_is_said_to_be_one_and_both_remedies_work(tmp_path, inside, given, header):
    path = tmp_path / "log.txt"
    names = ["session", "item", "time"]
    rows = [[str(n // 3), str(n % 3), str(T0 + n)] for n in range(9)]
    path.write_text("\n".join(map(inside.join, [names, *rows] if header else rows)))
    rest = {} if header else {"header": names}
    with pytest.raises(DataError, match=r"It was read as one column: leave separator= out, or give sep") as error:
        read_events(path, separator=given, **rest)
    assert str(error.value).endswith(r"--sep $'\t'." if inside == "\t" else f"--sep '{inside}'.")
    [right] = re.findall(r"separator=('.*?'),", str(error.value))
    for remedy in ({}, {"separator": eval(right)}):
        assert len(read_events(path, **rest, **remedy)[0]) == 9
    if not header:
        with pytest.raises(DataError, match=r"header= names 3 columns, but line 1 has 1 field\. It was read as one"):
            read_events(path, separator=given, header=names)
        with pytest.raises(DataError, match="It was read as one column"):
            read_events(path, separator=given)


def test_a_column_that_is_not_there_is_named_or_added(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("session,thing,time\n1,2,3\n")
    with pytest.raises(DataError, match=r"Name the right one: item=…, on the command line --item NAME\.$"):
        load_sessions(path)
    assert read_events(path, item="thing")[0].rows() == [(1, 2, 3.0)]
    path.write_text("session,item\n1,2\n")
    with pytest.raises(DataError, match=r"time=…, on the command line --time NAME, or add one\.$"):
        load_sessions(path)
    with pytest.raises(DataError, match=r"no column 'when'.* --time NAME, or add one\.$"):
        load_sessions(path, time="when")
    path.write_text("User ID,item,time\n1,2,3\n")
    with pytest.raises(DataError, match=r"session=…, on the command line --session NAME\. .* --user 'User ID' --gap"):
        load_sessions(path)


HEADLESS = [  # (loader, lines without a header)
    (load_sessions, ["{s}\t{i}\t{t}"]), (load_sessions, ["{s},{t},{i},9"]), (load_sessions, ["{t};{s};{i}"]),
    (load_sessions, ["u{s}|i{i}|{d}"]), (load_sessions, ["{s}::{i}::{t}"]), (load_sessions, ["{s},{i},{t}000,view"]),
    (load_sessions, ["{s},{c},{i}"]), (load_sessions, ["{s},{i},{n}.5"]),
    (load_ratings, ["{s},{i},{r},{d}"]), (load_ratings, ["{s}|{i}|{r}|{t}"]), (load_ratings, ["{t}\tu{s}\ti{i}\t{r}"]),
    (load_reviews, ["u{s};i{i};{r};{t};so good, really"]), (load_reviews, ["{t}\tvery nice\tu{s}\ti{i}\t{r}"]),
]


@pytest.mark.parametrize(("load", "line"), [(load, line) for load, [line] in HEADLESS])
def test_the_hint_for_a_file_without_a_header_works_when_it_is_followed(tmp_path, load, line):
    rows = [line.format(s=1000 + n // 3, i=500 + n % 3, t=T0 + 9000 * n, r=n % 5 + 0.5, c=20140401 + n // 3, n=9000 * n,
                        d=f"2014-04-{n // 3 + 1:02} 10:{n:02}:00") for n in range(60)]
    path = tmp_path / "log.txt"
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(DataError, match="first line looks like data") as error:
        load(path)
    [names] = re.findall(r"header=(\[.*?\])", str(error.value))
    [command] = re.findall(r"--header (\S+)\.$", str(error.value))
    header = eval(names)
    assert command.split(",") == header
    options = {"min_support": 1} if load is load_sessions else {}
    data = load(path, header=header, **options)
    data = data[0] if load is load_sessions else data
    assert data.report["rows read"] == 60
    items = data.ratings.item_ids if load is load_reviews else data.item_ids
    assert [str(item).lstrip("i") for item in items] == ["500", "501", "502"]


def test_columns_that_tell_nothing_get_no_invented_header(tmp_path):
    (tmp_path / "log.txt").write_text("1,a,b\n2,c,d\n")
    with pytest.raises(DataError, match="its columns do not look like user, item, rating, time: write a line with"):
        load_ratings(tmp_path / "log.txt")


def test_the_hint_for_a_log_of_users_works_when_it_is_followed(tmp_path):
    rows = [f"{n % 4},i{n % 3},{T0 + 60 * n + 90_000 * (n // 20)}" for n in range(60)]
    (tmp_path / "log.csv").write_text("\n".join(["userId,item,time", *rows]))
    with pytest.raises(DataError, match=r"for the session .* command line --user userId --gap 1800") as e:
        load_sessions(tmp_path / "log.csv")
    [user, gap] = re.search(r'user="(\w+)", gap=(\d+),', str(e.value)).groups()
    train, _ = load_sessions(tmp_path / "log.csv", user=user, gap=int(gap))
    assert train.report["sessions cut at gaps above 1,800 s"] == 12


@pytest.mark.parametrize("read", [read_events, read_ratings, read_reviews])
@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200) | st.text(st.sampled_from('session,item\ntime"\t;1234:{}[]\r\0é'),
                                                 max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused_in_a_sentence(read, content):
    assume(content)
    with written(content) as path:
        try:
            frame, report = read(path)
        except DataError:
            return
        assert report["rows read"] == len(frame)
