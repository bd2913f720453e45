# `make demo` and `make test` are all a newcomer needs; each installs what it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?=
OUTPUT ?= results/demo
DATA ?=
LABEL_VENV := .venv-label
DOCS_VENV := .venv-docs
STUDIES ?=
PORT ?= 8000
PRECISION ?=
SECONDS ?= 600
SEED ?= 0

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all check format bundle wheel bench fuzz weights commercial-weights label label-server test-label docs clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## Install the pinned environment into .venv (about two minutes).

# sam2 is a source distribution whose isolated build would install another torch: hence its own step (docs/install.md).
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "requirements.lock is for CPython 3.11; call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.lock
	SAM2_BUILD_CUDA=0 $(BIN)/pip install --quiet --no-deps --no-build-isolation sam2==1.1.0
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## Segment a real section of breast (or IMAGE=file) into results/demo.
	$(BIN)/coseg demo --output $(OUTPUT) $(if $(IMAGE),--image $(IMAGE))

tests:
	@echo "the tests are in the repository, not in the released archive"; exit 1

test: tests install  ## Run the test suite (the slow tests aside).
	$(BIN)/python -m pytest -m "not slow"

test-all: tests install  ## Run every test.
	$(BIN)/python -m pytest

check: tests install  ## Format, lint, types, tests: before every commit.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow"

format: install  ## Format the code and mend what the linter can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bundle: install  ## Build the archive that monai.bundle.download fetches, into dist/.
	$(BIN)/coseg release-check
	$(BIN)/python scripts/build_bundle.py

# Outside of git the time is that of the archive's files (coseg_bundle/release/archive.py).
wheel: install  ## Build the wheel, configs and weights inside, into dist/; the same commit gives the same bytes.
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 315532800) $(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

fuzz: tests install  ## Try damaged files on every door for SECONDS=600, inputs of SEED=0; what fails is kept in runs/fuzz.
	$(BIN)/python scripts/fuzz.py --seconds $(SECONDS) --seed $(SEED)

bench: install  ## Measure speed against MONAI's own parts (a table of ratios).
	$(BIN)/python scripts/bench.py

KEPT := train_TCGA-21-5784-01Z-00-DX1 train_TCGA-AR-A1AK-01Z-00-DX1 train_TCGA-B0-5711-01Z-00-DX1 testA_25 testA_29 testB_1 testB_4
POINTS_KEPT := test_1 test_2 test_3 test_4 test_5
W := runs/weights
C := runs/classes
TRAIN := $(BIN)/python -m monai.bundle run training --dataset_file $(W)/datalist.json --config_file
MINI_OPEN := 'configs/train.yaml','configs/presets/mini_open.yaml'

weights: $(C)/model.pt  ## Train models/model.pt anew from DATA=FOLDER into runs/; goes on where it was stopped (make -j2: both cores).

$(W)/datalist.json: | $(VENV)/.installed
	@test -d "$(DATA)" || { echo "give the folder of the sets: make weights DATA=FOLDER (docs/results.md)"; exit 1; }
	$(BIN)/coseg datalist $(DATA)/nucls --layout points --output $(W)/nucls --holdout $(POINTS_KEPT)
	$(BIN)/coseg datalist $(DATA) --datasets monuseg glas puma cervix_panoptic --also $(W)/nucls/datalist.json --output $@ --holdout $(KEPT)

$(W)/seed50/model.pt: OPTIONS := --stain_transfer_prob 0.0
$(W)/seed%/model.pt: $(W)/datalist.json
	OMP_NUM_THREADS=1 $(TRAIN) "[$(MINI_OPEN)]" --output_dir $(W)/seed$* --seed $* $(OPTIONS)

$(W)/taught/model.pt: $(W)/seed50/model.pt $(W)/seed51/model.pt
	$(TRAIN) "[$(MINI_OPEN),'configs/presets/mini_open_taught.yaml']" --output_dir $(W)/taught --seed 72 \
	  --start_weights $(W)/seed51/model.pt --teachers "['$(W)/seed50/model.pt','$(W)/seed51/model.pt']"

# Then four nuclei classes, and glass and other tissue, from five times the data.
TRAIN_CLASSES := OMP_NUM_THREADS=1 $(BIN)/python -m monai.bundle run training --dataset_file $(C)/datalist.json --config_file
MINI_CLASSES := 'configs/train.yaml','configs/presets/mini_classes.yaml'

$(C)/datalist.json: | $(VENV)/.installed
	@test -d "$(DATA)" || { echo "give the folder of the sets: make weights DATA=FOLDER (docs/results.md)"; exit 1; }
	$(BIN)/coseg datalist $(DATA)/nucls --layout points --output $(C)/nucls --holdout $(POINTS_KEPT)
	$(BIN)/python scripts/weights_data.py $(DATA) --output $(C) --points $(C)/nucls/datalist.json

$(C)/first/model.pt: $(C)/datalist.json $(W)/taught/model.pt
	$(TRAIN_CLASSES) "[$(MINI_CLASSES)]" --output_dir $(C)/first --seed 70 --start_weights $(W)/taught/model.pt

$(C)/large/model.pt: $(C)/first/model.pt
	$(TRAIN_CLASSES) "[$(MINI_CLASSES),'configs/presets/mini_classes_large.yaml']" --output_dir $(C)/large --seed 71 \
	  --start_weights $(C)/first/model.pt

$(C)/scales/model.pt: $(C)/large/model.pt
	$(TRAIN_CLASSES) "[$(MINI_CLASSES),'configs/presets/mini_classes_scales.yaml']" --output_dir $(C)/scales --seed 73 \
	  --start_weights $(C)/large/model.pt

$(C)/whole.pt: $(C)/large/model.pt $(C)/scales/model.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

# Then, taught by those, nuclei that are told within windows of 128 px, so that two tilings of a slide agree.
TRAIN_LOCAL = $(TRAIN_CLASSES) "[$(MINI_CLASSES),'configs/presets/mini_classes_$(1).yaml','configs/presets/mini_local.yaml']" \
  --output_dir $(@D) --start_weights $< --teachers "['$(C)/$(2).pt']"
SLOW := --learning_rate 0.0005 --ema_momentum 0.005
OF_GLAS := --scale_ranges "{'glas': [0.38, 1.1]}"
GLANDS := $(OF_GLAS) \
  --sampling_weights "{'monuseg': 2.5, 'consep': 2.7, 'glas': 2.4, 'tnbc': 1.5, 'points': 0.7, 'puma': 0.4, 'cervix': 0.3}"

$(C)/near/model.pt: $(C)/whole.pt
	$(call TRAIN_LOCAL,scales,whole) --seed 90

$(C)/nearer/model.pt: $(C)/near/model.pt
	$(call TRAIN_LOCAL,large,whole) --seed 91 --max_epochs 6 --ema_momentum 0.01

$(C)/nearest/model.pt: $(C)/nearer/model.pt
	$(call TRAIN_LOCAL,large,whole) --seed 92 --max_epochs 4 --ema_momentum 0.01

$(C)/local.pt: $(C)/nearest/model.pt $(C)/nearer/model.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

$(C)/afar/model.pt: $(C)/local.pt
	$(call TRAIN_LOCAL,scales,whole) --seed 93 --max_epochs 28 $(SLOW)

$(C)/close/model.pt: $(C)/local.pt
	$(call TRAIN_LOCAL,large,whole) --seed 94 --max_epochs 28 $(SLOW) $(GLANDS)

$(C)/heavier.pt: $(C)/afar/model.pt $(C)/close/model.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

# Then a network of 0.55 of the operations, cut out of that one and taught by it.
$(C)/cut.pt: $(C)/heavier.pt
	$(BIN)/python scripts/lighter_weights.py $(C)/datalist.json $< $@

$(C)/lighter/model.pt: $(C)/cut.pt
	$(call TRAIN_LOCAL,scales,heavier) --seed 96 --max_epochs 16 $(SLOW)

$(C)/lighter_close/model.pt: $(C)/lighter/model.pt
	$(call TRAIN_LOCAL,large,heavier) --seed 97 --max_epochs 8 $(SLOW) $(GLANDS)

$(C)/lighter.pt: $(C)/lighter_close/model.pt $(C)/lighter/model.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

# Then prompts that attend to means.
$(C)/means/model.pt: $(C)/lighter.pt
	$(call TRAIN_LOCAL,scales,heavier) --seed 101 --max_epochs 14 $(SLOW) --prompt_stride 2

$(C)/means_close/model.pt: $(C)/lighter.pt
	$(call TRAIN_LOCAL,large,heavier) --seed 102 --max_epochs 14 $(SLOW) $(GLANDS) --prompt_stride 2

$(C)/means.pt: $(C)/means/model.pt $(C)/means_close/model.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

# Then the strip between two glands counts eight times.
THIN := --loss::thin_weight 8.0
MORE_GLANDS := $(OF_GLAS) \
  --sampling_weights "{'monuseg': 2.5, 'consep': 2.7, 'glas': 2.6, 'tnbc': 1.5, 'points': 0.7, 'puma': 0.4, 'cervix': 0.3}"

$(C)/thin/model.pt: $(C)/means.pt
	$(call TRAIN_LOCAL,scales,heavier) --seed 203 --max_epochs 12 $(SLOW) $(THIN)

$(C)/thin_close/model.pt: $(C)/means.pt
	$(call TRAIN_LOCAL,large,heavier) --seed 204 --max_epochs 12 $(SLOW) $(THIN) $(MORE_GLANDS) --class_balance 0.15 \
	  --loss::type_weights "[1, 1, 1, 1, 3]"

$(C)/thin.pt: $(C)/thin/model.pt $(C)/thin_close/model.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

$(C)/both.pt: $(C)/thin.pt $(C)/means.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

SLOWER := --learning_rate 0.0003 --ema_momentum 0.01
EVEN := --sampling_weights "{'monuseg': 2.6, 'consep': 2.7, 'glas': 2.4, 'tnbc': 1.9, 'points': 1.1, 'puma': 0.4, 'cervix': 0.3}"

$(C)/thinner/model.pt: $(C)/both.pt
	$(call TRAIN_LOCAL,scales,heavier) --seed 205 --max_epochs 6 $(SLOWER) $(THIN) $(EVEN)

$(C)/thinner_close/model.pt: $(C)/both.pt
	$(call TRAIN_LOCAL,large,heavier) --seed 206 --max_epochs 6 $(SLOWER) $(THIN) $(EVEN) $(OF_GLAS)

$(C)/thinner.pt: $(C)/thinner/model.pt $(C)/thinner_close/model.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

$(C)/told.pt: $(C)/thinner.pt $(C)/both.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

# Then without a teacher: nuclei of a few patches of breast more often, and nearly every crop in other colours.
TRAIN_ALONE = $(TRAIN_CLASSES) "[$(MINI_CLASSES),'configs/presets/mini_classes_large.yaml','configs/presets/mini_local.yaml']" \
  --output_dir $(@D) --start_weights $< --prompt_stride 2 --max_epochs 6 --learning_rate 0.0004 --ema_momentum 0.01 $(THIN) $(OF_GLAS)

$(C)/alone/model.pt: $(C)/told.pt
	$(TRAIN_ALONE) --seed 401 \
	  --sampling_weights "{'monuseg': 2.4, 'consep': 2.7, 'glas': 2.2, 'tnbc': 1.6, 'points': 3.0, 'puma': 1.0, 'cervix': 0.3}"

$(C)/coloured/model.pt: $(C)/told.pt
	$(TRAIN_ALONE) --seed 402 --stain_transfer_prob 0.85 --stain_scale 0.7 \
	  --sampling_weights "{'monuseg': 2.4, 'consep': 3.2, 'glas': 2.2, 'tnbc': 1.5, 'points': 2.0, 'puma': 0.8, 'cervix': 0.3}"

$(C)/alone.pt: $(C)/alone/model.pt $(C)/coloured/model.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

$(C)/model.pt: $(C)/alone.pt $(C)/told.pt
	$(BIN)/python scripts/mean_weights.py $^ $@

# Weights from sets whose terms allow commercial use.
K := runs/commercial
TRAIN_COMMERCIAL = OMP_NUM_THREADS=1 $(BIN)/python -m monai.bundle run training --dataset_file $(K)/datalist.json --output_dir $(@D) \
  --config_file "[$(MINI_CLASSES),'configs/presets/$(1).yaml']"

commercial-weights: $(K)/large/model.pt  ## Train models/commercial.pt anew from DATA=FOLDER into runs/ (an hour of a core).

$(K)/datalist.json: | $(VENV)/.installed
	@test -d "$(DATA)" || { echo "give the folder of the sets: make commercial-weights DATA=FOLDER (docs/results.md)"; exit 1; }
	$(BIN)/coseg datalist $(DATA)/nucls --layout points --output $(K)/nucls --holdout $(POINTS_KEPT)
	$(BIN)/python scripts/weights_data.py $(DATA) --output $(K) --points $(K)/nucls/datalist.json --sets tnbc puma

$(K)/first/model.pt: $(K)/datalist.json
	$(call TRAIN_COMMERCIAL,mini_commercial) --seed 60

$(K)/large/model.pt: $(K)/first/model.pt
	$(call TRAIN_COMMERCIAL,mini_commercial_large) --seed 61 --start_weights $<

label: $(LABEL_VENV)/.installed  ## Install the MONAI Label environment into .venv-label (three minutes, 3 GB).
	@echo "Installed. Start with: make label-server STUDIES=folder-of-images"

# MONAI Label needs numpy < 2, hence an environment of its own.
$(LABEL_VENV)/.installed: requirements-label.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "requirements-label.lock is for CPython 3.11; call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(LABEL_VENV)
	$(LABEL_VENV)/bin/pip install --quiet -r requirements-label.lock
	SAM2_BUILD_CUDA=0 $(LABEL_VENV)/bin/pip install --quiet --no-deps --no-build-isolation sam2==1.1.0
	$(LABEL_VENV)/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

label-server: label  ## Annotate the images of STUDIES=folder with MONAI Label on http://127.0.0.1:8000.
	@test -n "$(STUDIES)" || { echo "Give the folder with your images: make label-server STUDIES=folder"; exit 2; }
	$(LABEL_VENV)/bin/python -m monailabel.main start_server --app coseg_bundle/label_app --studies "$(STUDIES)" \
	  --conf models coseg $(if $(PRECISION),--conf precision $(PRECISION)) --host 127.0.0.1 --port $(PORT)

test-label: tests label  ## Run the tests of the annotation service and of its MONAI Label application, against a real server.
	$(LABEL_VENV)/bin/python -m pytest tests/label_app tests/service

docs: $(DOCS_VENV)/.installed  ## Build the documentation as a site, into site/.
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict --quiet
	@echo "Written to site/. Open site/index.html, or with a search: $(PYTHON) -m http.server --directory site"

# Docstrings are read, not imported: the site needs neither torch nor the package's environment.
$(DOCS_VENV)/.installed: requirements-docs.lock
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/pip install --quiet -r requirements-docs.lock
	@touch $@

clean:  ## Remove the environment and every result.
	rm -rf $(VENV) $(LABEL_VENV) $(DOCS_VENV) results site runs build dist *.egg-info
