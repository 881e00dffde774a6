# make demo    train the digits CNN, then serve TensorBoard (SERVE=0: only train; PORT=6006)
# make test    run the tests, those in a browser included
# make check   format, lint and type checks of Python and TypeScript, and whether the committed bundle is current (needs Node 20)
# make screenshots  photograph the tab for the README and docs
# make bench   measure what logging costs a training step, here and in other tools, which it installs into build/peers (25 minutes)
# make bench-writing  measure how fast events are written
# make bench-reading  measure TensorBoard with large logs (12 GB of disk, 5 minutes)
# make bench-page  measure the page in a browser: frames while scrubbing, first paint on a large log, size (2 GB of disk)
# make bench-similarity  measure how soon CKA matrices appear, over HTTP and in the page
# make fuzz    fuzz what reads event files (FUZZ_TARGET=events) or answers requests (=requests) for FUZZ_SECONDS=3600
# make static  rebuild the page's bundle (needs Node 20)
# make clean   remove what the others made
#
# Variables: PYTHON=python3 (3.10 or newer), VENV=.venv, PIP_ARGS= (such as --extra-index-url for a CPU build of torch)

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
PORT ?= 6006
SERVE ?= 1
LOGDIR ?= runs/digits
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_TARGET ?= events
FUZZ_SECONDS ?= 3600

BIN := $(VENV)/bin
FRONTEND := tensorboard_plugin/actviz/frontend
STATIC := tensorboard_plugin/actviz/static
# pip's -c does not reach the environment that it builds in; these do, the second from pip 25.3 on.
PINNED := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt

PEERS := $(patsubst benchmarks/peers/%.txt,build/peers/%.log,$(wildcard benchmarks/peers/*.txt))

# What setup.py's extras hold besides their own.
WITHIN_test := demo
WITHIN_dev := demo test
WITHIN_fuzz := demo test

.PHONY: help demo test check check-python check-frontend bench bench-writing bench-reading bench-page bench-similarity fuzz screenshots static clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is older than Python 3.10. Name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo $(VENV)/.test $(VENV)/.dev $(VENV)/.fuzz: $(VENV)/.%: $(VENV)/.created constraints.txt setup.py pyproject.toml actviz_tb/native.c
	$(PINNED) $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -e '.[$*]'
	touch $@ $(patsubst %,$(VENV)/.%,$(WITHIN_$*))

demo: $(VENV)/.demo
	$(BIN)/python examples/digits_cnn.py --logdir $(LOGDIR) $(if $(filter-out 0,$(SERVE)),--no-hint)
ifneq ($(SERVE),0)
	@echo
	@echo "Open http://localhost:$(PORT)/#actviz (Ctrl-C ends TensorBoard)"
	$(BIN)/python -m tensorboard.main --logdir $(LOGDIR) --port $(PORT)
endif

test: $(VENV)/.test
ifndef NO_BROWSER
	$(BIN)/python tests/browser.py
endif
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: check-python check-frontend

check-python: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check-frontend: $(FRONTEND)/node_modules/.installed
	cd $(FRONTEND) && npm run --silent check
	cd $(FRONTEND) && npm run --silent build
	@test -z "$$(git status --porcelain -- $(STATIC))" || { \
	  git status --short -- $(STATIC); echo "The committed bundle is not the sources' own: make static, and commit it."; exit 1; }

static: $(FRONTEND)/node_modules/.installed
	cd $(FRONTEND) && npm run --silent build

$(FRONTEND)/node_modules/.installed: $(FRONTEND)/package-lock.json
	@command -v npm >/dev/null || { echo "The page's tool chain needs Node 20 or newer, with npm."; exit 1; }
	cd $(FRONTEND) && npm ci --silent --no-audit --no-fund
	touch $@

bench: $(VENV)/.demo $(PEERS)
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

bench-writing: $(VENV)/.demo
	$(BIN)/python benchmarks/writing.py $(BENCH_ARGS)

bench-reading: $(VENV)/.demo
	$(BIN)/python benchmarks/reading.py $(BENCH_ARGS)

bench-page: $(VENV)/.test
	$(BIN)/python benchmarks/scrubbing.py $(BENCH_ARGS)

bench-similarity: $(VENV)/.test
	$(BIN)/python benchmarks/similarity.py

fuzz: $(VENV)/.fuzz
	$(BIN)/python tests/fuzz/run.py $(FUZZ_TARGET) $(FUZZ_SECONDS)

# Each in a directory of its own, as their requirements exclude each other; without dependencies, so that none brings another torch.
# One that cannot be installed is listed as such in the table, with the reason from its log.
build/peers/%.log: benchmarks/peers/%.txt $(VENV)/.created
	@mkdir -p build/peers && rm -rf build/peers/$*
	$(BIN)/python -m pip install --no-deps --disable-pip-version-check --target build/peers/$* -r $< >$@ 2>&1 || rm -rf build/peers/$*

screenshots: $(VENV)/.test
	$(BIN)/python docs/screenshots.py

clean:
	rm -rf $(VENV) $(FRONTEND)/node_modules build dist *.egg-info runs pictures
