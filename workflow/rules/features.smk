# Features
# Needs:    volumes and masks of the images stage, a pyradiomics parameter file per extraction; or feature tables that
#           other software made
# Delivers: one feature table per extraction, the cases whose extraction failed, the variables that are measured in the
#           images, and how well the features agree with the reference values of the standard (IBSI)
from nenflow import logs


rule extract_features:
    """Features of all phases, regions and raters of one patient: a volume is read once, start-up is paid once."""
    input:
        images="results/{study}/images/{cohort}/{patient}",
        parameters=undated(parameter_file),
    output:
        features="results/{study}/features/{cohort}/{extraction}/{patient}.csv",
        failures="results/{study}/features/{cohort}/{extraction}/{patient}_failures.csv",
    log:
        "logs/{study}/features/extract_features_{cohort}_{extraction}_{patient}.log",
    cache: SHARED
    retries: logs.TRIES
    conda:
        "../../envs/nenflow.yaml"
    resources:
        mem_mb=scan_memory,
        attempt=number_of_try,
    params:
        job=extraction_job,
        software=SOFTWARE,
        code=library_code("features/extract_features.py"),
    script:
        "../scripts/features/extract_features.py"


rule gather_features:
    """One feature table for the cohort, without excluded cases; patients of several regions get a row too."""
    input:
        cases="results/{study}/images/{cohort}/cases.csv",
        features=per_patient("results/{study}/features/{cohort}/{extraction}/{patient}.csv"),
        failures=per_patient("results/{study}/features/{cohort}/{extraction}/{patient}_failures.csv"),
    output:
        features="results/{study}/features/{cohort}/{extraction}.parquet",
        export="results/{study}/features/{cohort}/{extraction}.csv",
        failures="results/{study}/features/{cohort}/{extraction}_failures.csv",
    log:
        "logs/{study}/features/gather_features_{cohort}_{extraction}.log",
    wildcard_constraints:
        study=MEASURING,
    conda:
        "../../envs/nenflow.yaml"
    params:
        aggregation=aggregation,
        code=library_code("features/gather_features.py"),
    script:
        "../scripts/features/gather_features.py"


rule import_features:
    """The same table from those that other software made, and which software that was."""
    input:
        tables=undated(feature_files),
        cases="results/{study}/cohort/{cohort}/cases.csv",
    output:
        features="results/{study}/features/{cohort}/{extraction}.parquet",
        export="results/{study}/features/{cohort}/{extraction}.csv",
        failures="results/{study}/features/{cohort}/{extraction}_failures.csv",
        software="results/{study}/features/{cohort}/{extraction}_software.csv",
    log:
        "logs/{study}/features/import_features_{cohort}_{extraction}.log",
    wildcard_constraints:
        study=IMPORTING,
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("unit", "stability"),
        settings=setting("extractions", "{extraction}"),
        imported=feature_tables,
        contents=contents(feature_files),
        code=library_code("features/import_features.py"),
    script:
        "../scripts/features/import_features.py"


rule measure_variables:
    """The variables of patients that are measured in the images: volume, mean, maximum or peak of their regions."""
    input:
        patients="results/{study}/cohort/{cohort}/patients.csv",
        cases="results/{study}/images/{cohort}/cases.csv",
    output:
        measures="results/{study}/features/{cohort}/measured_variables.csv",
        left_out="results/{study}/features/{cohort}/measured_left_out.csv",
    log:
        "logs/{study}/features/measure_variables_{cohort}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        variables=setting("variables"),
        reference=setting("stability", "readings", "reference"),
        code=library_code("features/measure_variables.py"),
    script:
        "../scripts/features/measure_variables.py"


rule check_conformance:
    """Self-test: the features of the IBSI digital phantom, computed here and now, beside their reference values."""
    input:
        f"{WORKFLOW}/lib/nenflow/features/ibsi_reference.csv",
    output:
        "results/{study}/features/conformance.csv",
    log:
        "logs/{study}/features/check_conformance.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        code=library_code("features/check_conformance.py"),
    script:
        "../scripts/features/check_conformance.py"


rule exchange_features:
    """The features of one patient for other programs: a DICOM structured report, and a table for 3D Slicer."""
    input:
        cases="results/{study}/images/{cohort}/cases.csv",
        features="results/{study}/features/{cohort}/{extraction}/{patient}.csv",
    output:
        directory("results/{study}/features/{cohort}/exchange/{extraction}/{patient}"),
    log:
        "logs/{study}/features/exchange_features_{cohort}_{extraction}_{patient}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        conformance=lambda wildcards: extraction_settings(wildcards)["conformance"],
        simulated=lambda wildcards: "simulation" in STUDIES[wildcards.study]["cohorts"][wildcards.cohort],
        version=VERSION,
        code=library_code("features/exchange_features.py"),
    script:
        "../scripts/features/exchange_features.py"


rule exchange:
    """Not made by default: the features of all patients for other programs (make exchange STUDY=…)."""
    input:
        exchanged_features,
