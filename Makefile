# `make` alone lists the commands. Everything is installed into .venv, the lab aside (see tests/lab/README.md).

PYTHON ?= python3
# Where `make new` puts the new project, and answers that it shall not ask for: ARGS="project_name='My Service' ci=gitlab"
OUT ?= out
ARGS ?=
# Options for pytest, e.g. TESTS="-k cruft"
TESTS ?=

# What a project receives as it is is checked here; the rest of it, rendered, has settings of its own.
RECEIVED := '{{cookiecutter.project_slug}}'/src/service_runtime '{{cookiecutter.project_slug}}'/tools
CODE := benchmarks hooks scripts tests updater $(RECEIVED)
# Named, since the pyproject.toml next to what a project receives is a template.
RUFF := .venv/bin/ruff --config pyproject.toml
PIP := .venv/bin/pip --disable-pip-version-check install --quiet --no-deps --only-binary :all: --require-hashes

.DEFAULT_GOAL := help
.PHONY: help new test fuzz newest arm64 lint format locks docs fleet release lab bench

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.x ...")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo >&2 "python3 has no venv module: install it (Debian: apt-get install python3-venv)"; exit 1; }

.venv/new: requirements/new.txt | .venv/bin/pip
	@echo "installing cookiecutter into .venv" && $(PIP) -r $< && touch $@

.venv/dev: requirements/dev.txt | .venv/bin/pip
	@echo "installing the development tools into .venv" && $(PIP) -r $< && touch $@ .venv/new

new: .venv/new ## Scaffold a service into out/ (OUT= and ARGS= change where and what)
	@.venv/bin/python scripts/new.py "$(OUT)" $(ARGS)

test: .venv/dev ## Run the whole test suite (LAB=0: without bringing up the lab; TESTS= narrows it)
	@.venv/bin/python scripts/test.py $(TESTS)

SETS ?= 10000
fuzz: .venv/dev ## Render SETS=10000 generated sets of answers, hostile ones among them (SEED= repeats a run; .ci/run takes 2000, the same ones each time)
	@seed=$(or $(SEED),$$(date +%s)); echo "make fuzz SETS=$(SETS) SEED=$$seed"; \
		LAB=0 FUZZ_SETS=$(SETS) FUZZ_SEED=$$seed .venv/bin/python scripts/test.py tests/template/test_fuzz.py

newest: ## Test service_runtime on the newest releases of uvicorn and the rest (PIP_INDEX_URL= names another index)
	@$(PYTHON) -m venv --clear .cache/newest
	@.cache/newest/bin/pip --disable-pip-version-check install --quiet httpx2 pytest \
		$$(sed -n '/for its types/,/^]/s/^ *"\([a-z-]*\).*/\1/p' pyproject.toml)
	@PYTHONPATH='{{cookiecutter.project_slug}}/src:.' .cache/newest/bin/python -m pytest -q -c tests/runtime/rendered.ini \
		--confcutdir=tests/runtime --rootdir=tests/runtime -p no:cacheprovider tests/runtime

arm64: .venv/dev ## Build the images for arm64 under emulation, and judge them (some minutes, on the lab)
	@.venv/bin/python scripts/test.py -m arm64 tests/image/test_arm64.py

lint: .venv/dev ## Check style, types, scripts and workflows of this repository
	$(RUFF) check $(CODE)
	$(RUFF) format --check $(CODE)
	.venv/bin/mypy
	.venv/bin/shellcheck .ci/run tests/helpers/*.sh tests/lab/lab tests/ci/programs/* tests/ci/standins/* tests/services/servers/*
	.venv/bin/zizmor --quiet --offline .github
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: .venv/dev ## Correct the style where a tool can
	$(RUFF) check --fix $(CODE)
	$(RUFF) format $(CODE)

locks: .venv/dev ## Make every lock file again and say what changed (PYPI_MIRROR= names another index)
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python scripts/locks.py

docs: .venv/dev ## Make what the documentation takes from elsewhere: choices, figures, the example, the recorded terminal
	@.venv/bin/python -m scripts.docs

fleet: .venv/new ## Update the projects in the repositories that the file REPOS= names (PUSH=1 pushes a branch to each)
	@.venv/bin/python -m updater.fleet "$(REPOS)" $(if $(PUSH),--push)

release: .venv/dev ## Check and commit the release VERSION=1.2.0 (TESTED= names a commit that is known to be green)
	@.venv/bin/python scripts/release.py "$(VERSION)" $(if $(TESTED),--tested "$(TESTED)")

lab: ## Bring up a Docker engine, base images and a package mirror on this Debian machine (root)
	@tests/lab/lab up

bench: .venv/dev ## Build one service by this and by other recipes, side by side, on the lab (ONLY= and RUNS= narrow it)
	@tests/lab/lab up >/dev/null && eval "$$(tests/lab/lab env)" && .venv/bin/python -m benchmarks.bench
