# Each target sets itself up: a machine needs Python 3.11 or later and a C compiler, nothing else.
# Where python3 is older, name another: make demo PYTHON=python3.12
PYTHON ?= python3
CORES  ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
STUDY  ?= surufatinib
# Real cases for the sarcoma study and for tests; tests that need them skip where the folder is absent.
export NENFLOW_TEST_DATA ?= $(abspath ../shared/data)

BIN       := .venv/bin
READY     := .venv/ready
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
SOURCES   := workflow/lib workflow/scripts tests benchmarks envs
SNAKEFILES = Snakefile $(wildcard workflow/*/*.smk)

.PHONY: demo study studies new-study report apply validate cases exchange ibsi test test-slow test-faults test-slurm bench lint audit format \
        env lock unlock clean

demo: $(READY)                ## the surufatinib study, from simulated DICOM files to the report
	$(SNAKEMAKE) --config studies=[surufatinib]
	@echo "The report: results/surufatinib/report/report.html"

study: $(READY)               ## one study: make study STUDY=sarcoma
	$(SNAKEMAKE) --config studies=[$(STUDY)]
	@echo "The report: results/$(STUDY)/report/report.html"

studies: $(READY)             ## all studies that config/config.yaml lists
	$(SNAKEMAKE)
	@echo "The reports: results/<study>/report/report.html"

new-study: $(READY)           ## a new study's folder, from the template: make new-study NAME=my-study
	@PYTHONPATH=workflow/lib $(BIN)/python -m nenflow.template "$(NAME)"

report: $(READY)              ## only the report page (and whatever it still lacks)
	$(SNAKEMAKE) results/$(STUDY)/report/report.html --config studies=[$(STUDY)]

apply validate: $(READY)      ## a model file in new patients: make apply MODEL=…/card.json COHORT=/data/new-patients
	@$(if $(and $(MODEL),$(COHORT)),,echo "make $@ needs MODEL (a card.json) and COHORT (a folder, or <study>/<cohort>); README.md shows an example" && exit 1)
	$(SNAKEMAKE) $@ --config model="$(MODEL)" cohort="$(COHORT)" $(if $(ACCEPT),accept=[$(ACCEPT)])

cases: $(READY)               ## cases.csv from a folder of segmentations; config/README.md shows an example
	@$(if $(and $(DATA),$(IMAGE),$(SEGMENTATION),$(OUT)),,echo "make cases needs DATA, IMAGE, SEGMENTATION and OUT; config/README.md shows an example" && exit 1)
	PYTHONPATH=workflow/lib $(BIN)/python -m nenflow.cohort.listing "$(DATA)" --image "$(IMAGE)" --segmentation "$(SEGMENTATION)" --output "$(OUT)" $(foreach name,phase region rater,$(if $($(name)),--$(name) "$($(name))"))

exchange: $(READY)            ## a study's features for other programs: DICOM structured reports, tables for 3D Slicer
	$(SNAKEMAKE) exchange --config studies=[$(STUDY)]

ibsi: $(READY)                ## features against the reference values of the standard; writes docs/ibsi.md
	PYTHONPATH=workflow/lib $(BIN)/python -m nenflow.features.conformance "$(NENFLOW_TEST_DATA)"

test: $(READY)                ## all tests but the slow ones
	$(BIN)/pytest

test-slow: $(READY)           ## tests that simulate studies a thousand times; writes docs/validation.md; minutes
	$(BIN)/pytest -m slow

test-faults: $(READY)         ## kills, full disks, lost files, want of memory: a small study after each; minutes
	$(BIN)/pytest -m slow -n 0 tests/faults

test-slurm: $(READY)          ## a study through Slurm and PBS; root, with Debian's slurm-wlm and munge
	$(BIN)/pytest -m slurm -n 0

bench: $(READY)               ## the tables of docs/scaling.md; long with 10,000 patients: make bench PATIENTS="100 1000"
	$(BIN)/python benchmarks/planning.py $(if $(PATIENTS),--patients $(PATIENTS))
	$(BIN)/python benchmarks/extraction.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/end_to_end.py

lint: audit                   ## style and workflow checks, known vulnerabilities
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/snakefmt --check $(SNAKEFILES)
	$(BIN)/snakemake --lint

audit: $(READY)               ## known vulnerabilities of the locked packages; never fails
	@$(BIN)/python envs/audit.py

format: $(READY)              ## bring the code into shape
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/snakefmt $(SNAKEFILES)

env: $(READY)                 ## the Python environment in .venv

# pip, not a faster installer: it honours the proxies and certificates that hospital networks set up for it.
# Bytecode is compiled at installation, or every job would pay for it anew where Python may not write it.
$(READY): envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nenflow needs Python 3.11 or later, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	@test ! -L .venv || { echo ".venv is a link to another folder, which would be emptied; remove the link."; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --use-pep517 --compile -r envs/requirements.txt
	$(BIN)/python -m compileall -q workflow/lib
	PYTHONPATH=workflow/lib $(BIN)/python -m nenflow.compilation
	@touch $@

lock:                         ## new envs/requirements.txt from pyproject.toml (then mend envs/nenflow.yaml; a test compares)
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --group dev -o envs/requirements.txt pyproject.toml
	rm -r .venv-lock

unlock: $(READY)              ## after a run was killed: let the next one start
	$(BIN)/snakemake --unlock

clean:                        ## remove all results (never inputs)
	rm -rf logs .snakemake
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -r {} +
