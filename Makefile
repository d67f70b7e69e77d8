# Every target is one call of the command `vad`, in an environment that is made when it is missing or stale.

.DEFAULT_GOAL := help
.PHONY: help run submit serve ui leaderboard journey check data test pytest test-isa bench docs lint format lock audit clean setup remake
.SUFFIXES:

VENV := .venv
# BEGUN marks an environment of make's own, which it may empty; READY one that is complete.
READY := $(VENV)/.ready
BEGUN := $(VENV)/.begun
# By module, and not by the scripts in $(VENV)/bin, which name the folder that they were made in: a clone may be moved.
VAD := $(VENV)/bin/python -m registry.cli
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH := 2.13.0

# Ray is an extra, installed when it is asked for.
RAY := $(if $(filter ray,$(ENGINE)),$(VENV)/.ray)

# An environment whose PyTorch came from another index than TORCH_INDEX is made again.
INDEX := $(VENV)/.torch-index
REMAKE := $(if $(TORCH_INDEX),$(if $(filter $(TORCH_INDEX),$(shell cat $(INDEX) 2>/dev/null)),,remake))
# Python compiles a module when it is first used: to compile all of them takes longer than to install them.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile

# As on a processor with AVX2 alone: without AVX-512, without bf16.
AVX2 := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
NUMERICAL := tests/vad/detectors tests/vad/scoring $(patsubst %,tests/vad/%.py,test_block_versions test_fast_and_plain test_repeatable system/test_precision)

export MLFLOW_DISABLE_TELEMETRY := true

# A misspelt variable would be passed over in silence, and the demo street taken for somebody's data.
KNOWN := EXP SUITE DATA LABELS FIRST_FRAME PROFILE SET FORCE ENGINE GPU_SHARE TORCH_INDEX MODEL OUT PORT PYTHON TORCH VENV
UNKNOWN := $(filter-out $(KNOWN) MAKE% -*% %-,$(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))
$(if $(UNKNOWN),$(error unknown variable $(UNKNOWN); make knows $(KNOWN)))

# A word for the shell, whatever quotes are in it.
quote = '$(subst ','\'',$(1))'
option = $(if $(value $(1)),--$(2) $(call quote,$(value $(1))))
SETTINGS = $(foreach setting,$(SET),--set $(call quote,$(setting)))

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

run: $(READY) $(RAY) ## Run an experiment, several or all, or a suite: EXP="name ..."|all, SUITE=file [DATA=folder] [LABELS=path] [FIRST_FRAME=0|1] [PROFILE=demo|full] [SET="key=value ..."] [FORCE=1] [ENGINE=local|ray] [GPU_SHARE=0.25] [TORCH_INDEX=url]
	@test -n '$(EXP)$(SUITE)' || { echo 'name an experiment, as in: make run EXP=phase5_multiscale' >&2; exit 2; }
	@$(VAD) run $(foreach name,$(EXP),'$(name)') $(call option,SUITE,suite) $(call option,DATA,data) $(call option,LABELS,labels) $(call option,FIRST_FRAME,first-frame) $(call option,PROFILE,profile) $(SETTINGS) $(if $(FORCE),--force) $(call option,ENGINE,engine) $(call option,GPU_SHARE,gpu-share)

submit: $(READY) ## Write a predictions file: [MODEL=production] [DATA=folder] [FIRST_FRAME=0|1] [OUT=file.csv]
	@$(VAD) submit $(call option,MODEL,model) $(call option,DATA,data) $(call option,FIRST_FRAME,first-frame) $(call option,OUT,out)

serve: $(READY) ## Answer requests with a registered model's scores, on 127.0.0.1: [MODEL=production] [PORT=5001]
	@$(VAD) serve $(call option,MODEL,model) $(call option,PORT,port)

ui: $(READY) ## Open MLflow's UI on this machine, the leaderboard in a browser: [PORT=5000]
	@$(VAD) ui $(call option,PORT,port)

leaderboard: $(READY) ## Print finished runs, best first; of a suite its entries by data sets: [SUITE=file]
	@$(VAD) leaderboard $(call option,SUITE,suite)

journey: $(READY) ## Compare your runs with the reference's tables and claims: [DATA=folder] [LABELS=path] [FIRST_FRAME=0|1] [PROFILE=demo|full] [SET="key=value ..."] [OUT=folder]
	@$(VAD) journey $(call option,DATA,data) $(call option,LABELS,labels) $(call option,FIRST_FRAME,first-frame) $(call option,PROFILE,profile) $(SETTINGS) $(call option,OUT,out)

check: $(READY) ## Validate experiments without training: [EXP=name]
	@$(VAD) check $(EXP) $(SETTINGS)

data: $(READY) ## Inspect a data folder before training: [DATA=folder] [LABELS=path] [FIRST_FRAME=0|1]
	@$(VAD) data $(if $(value DATA),$(call quote,$(value DATA))) $(call option,LABELS,labels) $(call option,FIRST_FRAME,first-frame)

test: $(READY) $(RAY) ## Lint, check types, run every test: [ENGINE=ray] (those of Ray too)
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: $(READY)
	@$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-isa: $(READY) ## Run the numerical tests as on a processor with AVX2 alone, on 1 and 2 threads
	@for threads in 1 2; do \
		TEST_THREADS=$$threads $(AVX2) $(VENV)/bin/python -m pytest -n auto --dist loadfile $(NUMERICAL) || exit 1; \
	done

bench: $(READY) ## Measure beside a notebook's loop and the machine's ceilings, about 9 minutes: [OUT=bench]
	@$(VENV)/bin/python -m benchmarks.bench $(call option,OUT,out)

docs: $(READY) $(VENV)/.docs ## Build the documentation into site/
	@$(VENV)/bin/python -m docs.blocks
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet

lint: $(READY) ## Check style and types; changes nothing
	@$(VENV)/bin/python -m ruff check .
	@$(VENV)/bin/python -m ruff format --check .
	@$(VENV)/bin/python -m mypy

format: $(READY) ## Put the code into shape
	@$(VENV)/bin/python -m ruff check --fix .
	@$(VENV)/bin/python -m ruff format .

lock: ## Make requirements.lock again from pyproject.toml
	@rm -rf .lock && $(PYTHON) -m venv .lock
	@.lock/bin/python -m pip install --quiet torch==$(TORCH) '.[dev]'
	@{ echo '# Made by `make lock`; the packages of run and test, pinned. torch comes in several builds, so no hashes.'; \
	   .lock/bin/python -m pip freeze | grep -viE '^(vad-registry|nvidia-|cuda-|triton)' | sed 's/+cpu$$//'; } > requirements.lock
	@rm -rf .lock build

audit: ## Look for known vulnerabilities in the locked packages; asks PyPI's advisories
	@rm -rf .audit && $(PYTHON) -m venv .audit && .audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@.audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r requirements.lock; status=$$?; rm -rf .audit; exit $$status

clean: ## Remove the environment and all caches; runs, models, submissions and half-trained members stay
	@find .vad -mindepth 1 -maxdepth 1 ! -name resume -exec rm -rf {} + 2>/dev/null || true
	@rmdir .vad/resume .vad 2>/dev/null || true
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(READY) ## Make the environment, which every other target does by itself

$(READY): requirements.lock pyproject.toml $(REMAKE)
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed, and none was found; name one with PYTHON=...' >&2; exit 2; }
	@if [ -L $(VENV) ] || [ -n "$$(ls -A $(VENV) 2>/dev/null)" -a ! -e $(READY) -a ! -e $(BEGUN) ]; then \
		echo '$(VENV) is not an environment that make made here, and would be emptied; remove it, or name another folder with VENV=' >&2; exit 2; fi
	@echo 'making $(VENV) from requirements.lock, once: 2.1 GB and about 2 minutes, with a CUDA build of PyTorch three times that (TORCH_INDEX=url names another index for it)'
	@mkdir -p $(VENV) && touch $(BEGUN) && find $(VENV) -mindepth 1 ! -path $(BEGUN) -delete
	@$(PYTHON) -m venv $(VENV)
	@$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url '$(TORCH_INDEX)' torch==$(TORCH) && echo '$(TORCH_INDEX)' > $(INDEX))
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps -e .
	@touch $(READY)

$(VENV)/.ray $(VENV)/.docs: $(VENV)/.%: $(READY)
	@echo 'adding what $* needs to $(VENV), once'
	@$(PIP) -c requirements.lock -e '.[$*]'
	@touch $@
