# Images
# Needs:    DICOM series (or NIfTI, NRRD volumes) and segmentations, as cases.csv names them
# Delivers: per patient de-identified NIfTI volumes and masks (drawn and computed) on one grid per phase, a picture of
#           each, agreement of the raters, and for each case whether it is included, or why not
from nenflow import logs


rule import_images:
    """Bring one patient's volumes and masks to one grid per phase; a refused case is excluded with its reason."""
    input:
        patient_files,
    output:
        directory("results/{study}/images/{cohort}/{patient}"),
    log:
        "logs/{study}/images/import_images_{cohort}_{patient}.log",
    cache: SHARED
    retries: logs.TRIES
    conda:
        "../../envs/nenflow.yaml"
    resources:
        mem_mb=scan_memory,
        attempt=number_of_try,
    params:
        job=import_job,
        software=SOFTWARE,
        code=library_code("images/import_images.py"),
    script:
        "../scripts/images/import_images.py"


rule gather_images:
    """Tables of all cases of a cohort: included or excluded with the reason, the raters' agreement, who has looked."""
    input:
        folders=per_patient("results/{study}/images/{cohort}/{patient}"),
        signoff="results/{study}/cohort/{cohort}/signoff.csv",
    output:
        cases="results/{study}/images/{cohort}/cases.csv",
        readings="results/{study}/images/{cohort}/readings.csv",
        signoff="results/{study}/images/{cohort}/qc_signoff.csv",
    log:
        "logs/{study}/images/gather_images_{cohort}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        regions=lambda wildcards: STUDIES[wildcards.study]["images"].get("regions", {}),
        reference=setting("stability", "readings", "reference"),
        code=library_code("images/gather_images.py"),
    script:
        "../scripts/images/gather_images.py"
