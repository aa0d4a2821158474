"""When each notebook last ran: recorded, said in page and notebook, and missed after 60 days."""

import re
from datetime import date, timedelta

import pytest

from tools import book_sphinx, lower, pages, ran

VERSIONS = {"python": "3.12.1", "torch": "2.9.0", "numpy": "2.4", "pandas": "3.1", "scipy": "1.17"}
PAGES = [page for page in pages.toc() if pages.has_notebook(page)]


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """All notebooks ran on one day, and one of them on a later one."""
    monkeypatch.setattr(ran, "RAN", tmp_path / "ran.json")
    ran.record([page.stem for page in PAGES], date(2026, 1, 2), "make colab", VERSIONS)
    ran.record(["01_rnn", "gone"], date(2026, 1, 30), "make newest", VERSIONS | {"torch": "3.0.0"})


def test_a_run_of_every_notebook_is_known():
    known = ran.runs()
    assert known.keys() == {page.stem for page in PAGES}
    for run in known.values():
        date.fromisoformat(run["day"])
        assert re.fullmatch(r"make \w+", run["command"]) and all(run[name] for name in ran.SHOWN)


def test_the_last_run_is_kept_and_said(recorded):
    known = ran.runs()
    assert known["01_rnn"] == {"day": "2026-01-30", "command": "make newest", "python": "3.12.1", "torch": "3.0.0",
                               "numpy": "2.4", "pandas": "3.1"}
    assert known["02_gru4rec"]["torch"] == "2.9.0" and "gone" not in known
    first = next(page for page in PAGES if page.stem == "01_rnn")
    sentence = "Last run on 30 January 2026 by `make newest`: Python 3.12.1, torch 3.0.0, numpy 2.4, pandas 3.1."
    assert ran.said(first) == sentence and lower.whereabouts(first).endswith(f"\n\n{sentence}")
    assert sentence.replace("`make newest`", "<code>make newest</code>") in book_sphinx.badge(first)


def test_a_notebook_is_missed_after_sixty_days_and_not_before(recorded):
    last = date(2026, 1, 2) + timedelta(days=ran.LONG)
    assert ran.overdue(last) == []
    late = ran.overdue(last + timedelta(days=1))
    assert "02_gru4rec last ran 61 days ago" in late and len(late) == len(PAGES) - 1
    ran.RAN.write_text("{}")
    assert "01_rnn has no known run" in ran.overdue(last) and ran.said(PAGES[0]) == ""


def test_it_fails_where_one_is_missed(recorded, capsys):
    ran.RAN.write_text("{}")
    with pytest.raises(SystemExit, match="Run `make colab`"):
        ran.main()
    ran.record([page.stem for page in PAGES], date.today(), "make colab", VERSIONS)
    ran.main()
    assert capsys.readouterr().out.count("Last run on") == len(PAGES)
