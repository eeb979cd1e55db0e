# Simulation
# Needs:    simulation.yaml of a study: published tables, effects, geometry
# Delivers: a cohort as real files (DICOM series and segmentations, clinical tables) and the truth it was drawn from


rule simulate_cohort:
    """Draw patients, lesions and images from a study's published tables; a seed decides everything."""
    input:
        settings=undated(cohort_settings),
        schema=f"{WORKFLOW}/schemas/simulation.schema.yaml",
    output:
        patients="results/{study}/simulation/{cohort}/patients.csv",
        lesions="results/{study}/simulation/{cohort}/lesions.csv",
        cases="results/{study}/simulation/{cohort}/cases.csv",
        truth="results/{study}/simulation/{cohort}/truth.csv",
        model="results/{study}/simulation/{cohort}/truth.json",
        dicom=directory("results/{study}/simulation/{cohort}/dicom"),
    log:
        "logs/{study}/simulation/simulate_cohort_{cohort}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        seed=cohort_seed,
        contents=contents(cohort_settings),
        code=library_code("simulation/simulate_cohort.py"),
    script:
        "../scripts/simulation/simulate_cohort.py"
