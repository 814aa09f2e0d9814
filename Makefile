# make run          runs the main job: XDO on Leduc poker with learned responses
# make test         lint, types and tests, on Python 3.10 where there is one
# make test_newest  the quicker tests again on the newest supported Python: the device path, without Acme
# make docs         the documentation as a site, in build/docs; any warning is an error
# make wheel        the wheel, in dist/
# Each makes its virtual environment where it is missing, cut short or out of date.

RUN_ARGS ?= --game=leduc_poker --loop=xdo --oracle=device --agent=crossq \
	--iterations=8 --seed=0 --output_dir=runs/leduc_xdo
# A run that was cut short is gone on with; a finished one prints its result again.
RESUME = $(if $(wildcard runs/leduc_xdo/config.json),--resume)
# Three processes keep two cores busy, as tests of programs wait for most of their time; a file's tests stay together,
# as they share what takes long to make.
# The files are taken in the order of tests/conftest.py, which begins with the longest.
PYTEST_ARGS ?= --numprocesses=3 --dist=loadfile --no-loadscope-reorder --durations=20

NEWER := 3.13 3.12 3.11
PACKAGES := acme_psro agents experiments

# Expands to FORCE where the interpreter inside the environment $(1) is gone.
unless_usable = $(shell $(1)/bin/python -c "" 2>/dev/null || echo FORCE)

.PHONY: run test test_newest lint types docs wheel FORCE

run: .venv/.complete
	.venv/bin/python -m experiments.run_psro $(RUN_ARGS) $(RESUME)

# Most of XLA's optimisations are off: short runs do not give back the time that they take. test_newest compiles as
# users do, but for modules that ask for `quick_module`.
test: lint types
	JAX_DISABLE_MOST_OPTIMIZATIONS=1 .venv/bin/python -m pytest $(PYTEST_ARGS)

lint: .venv/.complete
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/.complete
	.venv/bin/python -m mypy $(PACKAGES)

# Worth a run of its own only where .venv has Python 3.10 and a newer one is there too.
test_newest: .venv/.complete
	@if [ ! -e .venv/bin/python3.10 ]; then \
	  echo "test_newest not run: .venv has a newer Python than 3.10 already"; \
	elif ! .ci/find_python $(NEWER) >/dev/null; then \
	  echo "test_newest not run: no newer Python than 3.10 found ($(NEWER))"; \
	else \
	  $(MAKE) --silent --no-print-directory .venv-newest/.complete && \
	  .venv-newest/bin/python -m pytest -m "not slow and not long" $(PYTEST_ARGS); \
	fi

docs: .venv-docs/.complete
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict
	@echo "pages: build/docs/index.html"

wheel: .venv/.complete
	.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

.venv/.complete: pyproject.toml constraints.txt $(call unless_usable,.venv)
	@.ci/make_venv .venv 3.10 $(NEWER)

.venv-newest/.complete: pyproject.toml constraints.txt $(call unless_usable,.venv-newest)
	@.ci/make_venv .venv-newest $(NEWER)

# The pages are built from the sources alone, so their tools need not fit the project's own packages.
.venv-docs/.complete: docs/requirements.txt $(call unless_usable,.venv-docs)
	@rm -rf .venv-docs
	@"$$(.ci/find_python 3.10 $(NEWER))" -m venv .venv-docs && echo '*' > .venv-docs/.gitignore
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@
