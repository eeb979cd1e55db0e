# Cohort
# Needs:    patients.csv, cases.csv and (where lesions have variables of their own) lesions.csv; what people decided
#           about single cases, where a study has such a table
# Delivers: checked tables, the flow of inclusions and exclusions, table one and the comparison by endpoint


checkpoint check_cohort:
    """Check the tables against the study and against each other; what is wrong is listed with row numbers."""
    input:
        unpack(undated(tables_to_check)),
        schemas=expand(f"{WORKFLOW}/schemas/{{table}}.schema.yaml", table=["patients", "lesions", "cases", "signoff"]),
        parameters=undated(parameter_files),
        features=undated(feature_files),
    output:
        patients="results/{study}/cohort/{cohort}/patients.csv",
        lesions="results/{study}/cohort/{cohort}/lesions.csv",
        cases="results/{study}/cohort/{cohort}/cases.csv",
        signoff="results/{study}/cohort/{cohort}/signoff.csv",
        notes="results/{study}/cohort/{cohort}/notes.json",
    log:
        "logs/{study}/cohort/check_cohort_{cohort}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=table_settings,
        data=cohort_data,
        imported=feature_tables,
        contents=contents(tables_to_check, parameter_files, feature_files),
        code=library_code("cohort/check_cohort.py"),
    script:
        "../scripts/cohort/check_cohort.py"


rule describe_cohort:
    """Flow of the cohort, table one, and the comparison of the groups of each endpoint."""
    input:
        patients="results/{study}/cohort/{cohort}/patients.csv",
        lesions="results/{study}/cohort/{cohort}/lesions.csv",
        cases=lambda wildcards: case_status(wildcards, wildcards.cohort),
        measures=lambda wildcards: measured_variables(wildcards.study, wildcards.cohort),
        failures=lambda wildcards: expand(
            "results/{{study}}/features/{{cohort}}/{extraction}_failures.csv",
            extraction=STUDIES[wildcards.study].get("extractions", []),
        ),
    output:
        flow="results/{study}/cohort/{cohort}/flow.csv",
        exclusions="results/{study}/cohort/{cohort}/exclusions.csv",
        table_one="results/{study}/cohort/{cohort}/table_one.csv",
        missing="results/{study}/cohort/{cohort}/missing.csv",
        lost_regions="results/{study}/cohort/{cohort}/lost_regions.csv",
        comparisons=directory("results/{study}/cohort/{cohort}/comparisons"),
    log:
        "logs/{study}/cohort/describe_cohort_{cohort}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("variables", "endpoints", "stability", "comparison"),
        pattern=aggregated_regions,
        code=library_code("cohort/describe_cohort.py"),
    script:
        "../scripts/cohort/describe_cohort.py"
