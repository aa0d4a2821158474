# make book | offline | pdf | weight | lab | test | results | course | student-site | notebooks | colab | newest | fresh |
# address | clean: each sets up what it needs, in .venv.
# Another interpreter: make book PYTHON=/path/to/python3.12

SHELL := /bin/bash
.DEFAULT_GOAL := book
.PHONY: book offline pdf weight lab test results course student-site notebooks colab newest fresh address clean

VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python

book: $(READY)
	@$(RUN) -m tools.book html

# The pages in one zip, to read without a network.
offline: $(READY)
	@$(RUN) -m tools.book offline

# The whole book as one PDF, beside the pages.
pdf: $(READY)
	@$(RUN) -m tools.pdf

# What each page of the built book sends, when it shows and when it is idle; fails above the limits.
weight: $(READY)
	@$(RUN) -m tools.weight

# nbgrader, which is there for the course, complains of a root elsewhere. LAB="--allow-root --no-browser" adds options.
lab: $(READY)
	$(VENV)/bin/jupyter lab --notebook-dir=book/notebooks --CourseDirectory.root="$(CURDIR)/book/notebooks" $(LAB)

# The book is built first, for the tests that open its pages. One thread a process: two processes run.
test: export OMP_NUM_THREADS = 1
test: export TQDM_DISABLE = 1
test: $(READY)
	@$(RUN) -m tools.book html
	@$(RUN) -m pytest -n 2 --dist worksteal -p tools.recorded --nbval-sanitize-with tests/nbval.cfg tests book/notebooks

# The experiments, whether their code has changed since, and the time that each took; together most of a day. AGAIN=1 makes
# the stale ones again, one by one. Stopped, the same command goes on: what is done of an experiment is kept.
results: $(READY)
	@$(RUN) -m rnnbook reproduce $(if $(AGAIN),--stale,--list)

# Slides, notebooks for students and teachers, and assignments, in _build/course.
course: $(READY)
	@$(RUN) -m tools.course

# The book without solutions, in _build/student-site.
student-site: $(READY)
	@$(RUN) -m tools.student_site

notebooks: $(READY)
	@$(RUN) -m tools.book notebooks

# Every notebook as in Colab: a fresh environment, an empty folder, the package from a git address.
colab: $(READY)
	@$(RUN) -m tools.colab

# The same with the newest release of everything; NEWEST="--pin torch" keeps what would be too large here.
newest: $(READY)
	@$(RUN) -m tools.colab --newest $(NEWEST)

# When each notebook last ran; it fails if one has not run for 60 days.
fresh: $(READY)
	@$(RUN) -m tools.ran

# A fork's own addresses: make address REPO=https://github.com/YOU/rnnbook SITE=https://YOU.github.io/rnnbook
address: $(READY)
	@$(RUN) -m tools.address "$(REPO)" "$(SITE)"

clean:
	rm -rf _build build rnnbook.egg-info $(VENV)

# The newest Python that will do; a message that says what is missing where there is none.
$(READY): requirements.txt pyproject.toml
	@set -e; \
	python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		for name in python3.13 python3.12 python3.11 python3; do \
			if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
		done; \
	fi; \
	if [ -z "$$python" ] || ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "Python 3.11 or newer is missing (found: $$( ($${python:-python3} --version || echo none) 2>&1 | tail -1))."; \
		echo "Get it: Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python;"; \
		echo "elsewhere: https://www.python.org/downloads. Or name one: make PYTHON=/path/to/python3.12"; \
		exit 1; \
	fi; \
	if ! $$python -c 'import venv, ensurepip' 2>/dev/null; then \
		echo "$$python has no venv module. Get it: apt install python3-venv (Debian, Ubuntu)."; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$python --version): a few minutes, once"; \
	[ -x $(RUN) ] || $$python -m venv $(VENV); \
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt; \
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
	touch $@
