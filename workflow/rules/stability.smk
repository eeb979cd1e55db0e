# Stability
# Needs:    features of lesions that were segmented again, or perturbed
# Delivers: agreement (ICC with intervals) of each feature within and between raters and under perturbation


rule rate_agreement:
    """Six forms of ICC and the limits of agreement of every feature; models apply thresholds in their own step."""
    input:
        features="results/{study}/features/{cohort}/{extraction}.parquet",
        lesions="results/{study}/cohort/{cohort}/lesions.csv",
    output:
        "results/{study}/stability/{cohort}/{extraction}.csv",
    log:
        "logs/{study}/stability/rate_agreement_{cohort}_{extraction}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        readings=readings,
        agreement=lambda wildcards: STUDIES[wildcards.study]["stability"].get("agreement", {}),
        code=library_code("stability/rate_agreement.py"),
    script:
        "../scripts/stability/rate_agreement.py"
