# `make demo` and `make test` are all a newcomer needs; each installs what it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?=
OUTPUT ?= results/demo
DATA ?=
LABEL_VENV := .venv-label
STUDIES ?=
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all check format bundle bench weights-cpu weights label label-server test-label clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## Install the pinned environment into .venv (about two minutes).

# sam2 is a source distribution whose isolated build would install another torch: hence its own step (docs/install.md).
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "requirements.lock is for CPython 3.11; call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.lock
	SAM2_BUILD_CUDA=0 $(BIN)/pip install --quiet --no-deps --no-build-isolation sam2==1.1.0
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## Segment a real colon section (or IMAGE=file) into results/demo.
	$(BIN)/coseg demo --output $(OUTPUT) $(if $(IMAGE),--image $(IMAGE))

test: install  ## Run the test suite (the slow tests aside).
	@test -d tests || { echo "the tests are in the repository, not in the released archive"; exit 1; }
	$(BIN)/python -m pytest -m "not slow"

test-all: install  ## Run every test.
	$(BIN)/python -m pytest

check: install  ## Format, lint, types, tests: before every commit.
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

bench: install  ## Measure speed against MONAI's own parts (a table of ratios).
	$(BIN)/python scripts/bench.py

KEPT := train_TCGA-21-5784-01Z-00-DX1 train_TCGA-AR-A1AK-01Z-00-DX1 train_TCGA-B0-5711-01Z-00-DX1 testA_25 testA_29 testB_1 testB_4
TRAIN := $(BIN)/python -m monai.bundle run training --config_file
NO_DETAIL := --network_def\#image_encoder\#detail_depth 0

weights-cpu: install  ## Train the first three stages of models/model.pt from DATA=FOLDER: under three hours without a GPU.
	@test -d "$(DATA)" || { echo "give the folder of the sets: make weights DATA=FOLDER (docs/results.md)"; exit 1; }
	mkdir -p runs/weights
	$(BIN)/coseg datalist $(DATA) --datasets monuseg glas --output runs/weights/first.json --holdout $(KEPT)
	$(BIN)/coseg datalist $(DATA) --datasets monuseg glas puma cervix_panoptic --output runs/weights/second.json --holdout $(KEPT)
	$(TRAIN) configs/train.yaml --dataset_file runs/weights/first.json --output_dir runs/weights/coarse $(NO_DETAIL) \
	  --network_def#mp_decoder#subpixel 1 --sampling_weights "{'monuseg': 3.0}" --max_epochs 60 --val_interval 10
	$(TRAIN) "['configs/train.yaml','configs/presets/mini_open.yaml']" --dataset_file runs/weights/second.json \
	  --output_dir runs/weights/coarse $(NO_DETAIL) --network_def#mp_decoder#subpixel 1
	$(TRAIN) "['configs/train.yaml','configs/presets/mini_open_fine.yaml']" --dataset_file runs/weights/second.json \
	  --output_dir runs/weights/fine $(NO_DETAIL) --start_weights runs/weights/coarse/model.pt

WARPED := $(TRAIN) "['configs/train.yaml','configs/presets/mini_open_warped.yaml']" --dataset_file runs/weights/third.json
LARGE_BATCHES := --batch_size 16 --epoch_length 3200 --num_workers 4
TEACHER := $(WARPED) $(LARGE_BATCHES) --max_epochs 10 --val_interval 5 --start_weights runs/weights/points/model.pt
TAUGHT := --teachers "['runs/weights/teacher0/model.pt','runs/weights/teacher1/model.pt','runs/weights/teacher2/model.pt','runs/weights/teacher3/model.pt']"
PUPIL := $(WARPED) $(LARGE_BATCHES) --max_epochs 14 --val_interval 7 --start_weights runs/weights/teacher3/model.pt --learning_rate 0.0006 $(TAUGHT)
LARGE_CROPS := --crop_size 384 --batch_size 2 --epoch_length 160 --learning_rate 0.0003 --teachers "['runs/weights/pupil1/model.pt']" \
  --sampling_weights "{'monuseg': 3.0, 'points': 0.8, 'glas': 2.5, 'puma': 0.6, 'cervix_panoptic': 0.3}"

weights: weights-cpu  ## Train models/model.pt anew from DATA=FOLDER (monuseg/, glas/, puma/, cervix_panoptic/, nucls/) into runs/weights.
	$(TRAIN) "['configs/train.yaml','configs/presets/mini_open_fine.yaml']" --dataset_file runs/weights/second.json \
	  --output_dir runs/weights/detail --start_weights runs/weights/fine/model.pt --max_epochs 40 \
	  --learning_rate 0.0005 --loss\#msge_weight 0.5
	$(BIN)/coseg datalist $(DATA)/nucls --layout points --output runs/weights/nucls --holdout test_1 test_2 test_3 test_4 test_5
	$(BIN)/coseg datalist $(DATA) --datasets monuseg glas puma cervix_panoptic --also runs/weights/nucls/datalist.json \
	  --output runs/weights/third.json --holdout $(KEPT)
	$(TRAIN) "['configs/train.yaml','configs/presets/mini_open_fine.yaml','configs/presets/mini_open_points.yaml']" \
	  --dataset_file runs/weights/third.json --output_dir runs/weights/points --start_weights runs/weights/detail/model.pt
	$(TEACHER) --output_dir runs/weights/teacher0 --seed 0
	$(TEACHER) --output_dir runs/weights/teacher1 --seed 1 --network_def\#image_encoder\#drop_path 0.0
	$(TEACHER) --output_dir runs/weights/teacher2 --seed 2 --warp_prob 0.0
	$(TEACHER) --output_dir runs/weights/teacher3 --seed 3 --network_def\#image_encoder\#drop_path 0.2 --stain_scale 0.6 --stain_mix 0.25
	$(PUPIL) --output_dir runs/weights/pupil0 --seed 10
	$(PUPIL) --output_dir runs/weights/pupil1 --seed 11 --taught_weight 4
	$(WARPED) $(LARGE_CROPS) --max_epochs 32 --val_interval 32 --start_weights runs/weights/pupil0/model.pt --seed 20 \
	  --output_dir runs/weights/crops
	$(WARPED) $(LARGE_CROPS) --max_epochs 14 --val_interval 14 --start_weights runs/weights/crops/model.pt --seed 21 \
	  --output_dir runs/weights/last

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
	  --conf models coseg --host 127.0.0.1 --port $(PORT)

test-label: label  ## Run the tests of the MONAI Label application, against a real server.
	$(LABEL_VENV)/bin/python -m pytest tests/label_app

clean:  ## Remove the environment and every result.
	rm -rf $(VENV) $(LABEL_VENV) results runs build dist *.egg-info
