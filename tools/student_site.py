"""The student's edition: ``python -m tools.student_site`` writes the book without solutions to _build/student-site.

It has all chapters, but of an exercise only the question, also in the search index; notebooks for students, which leave
blanks, take the place of the links to Colab; and the sources of the pages are not there. Answers to the questions in
the text stay: those belong to the reading, and nobody is graded on them.
"""

from __future__ import annotations

import shutil
import sys

from jupyter_book.sphinx import build_sphinx

from tools import book, course, pages

SITE = book.BUILD / "student-site"
# As the command `jupyter-book` calls it, so that both editions share what has been read of the pages; it has no tags.
CONFIG = {"external_toc_path": str(pages.ROOT / "_toc.yml"), "nitpicky": True, "latex_individualpages": False}


def build(folder=SITE):
    """Write the edition into `folder`. It has to be beside the cache of executed pages, where Sphinx looks for it."""
    shutil.rmtree(folder, ignore_errors=True)
    failed = build_sphinx(pages.ROOT, folder, path_config=pages.ROOT / "_config.yml", confoverrides=CONFIG.copy(),
                          noconfig=True, tags=["student"], quiet=True, warningiserror=True, keep_going=True)
    if failed:
        sys.exit("The student's edition was not built: see the warnings above.")
    for page in pages.toc():
        if pages.has_notebook(page):
            course.write(course.student(page), folder / "notebooks" / page.notebook.name)


if __name__ == "__main__":
    book.execute()
    build()
    print(f"The student's edition is in {SITE}. Open {(SITE / 'index.html').as_uri()}")
