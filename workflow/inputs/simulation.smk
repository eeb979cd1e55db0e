# What the rules of workflow/rules/simulation.smk read and depend on: functions of wildcards. No rules.
from zlib import crc32


def cohort_settings(wildcards):
    """What a cohort is simulated from."""
    return study_file(wildcards.study, STUDIES[wildcards.study]["cohorts"][wildcards.cohort]["simulation"])


def cohort_seed(wildcards):
    """Params function: the study's seed; a further simulated cohort has another, or it would be the same patients."""
    seed = STUDIES[wildcards.study]["seed"]
    return seed if wildcards.cohort == DEVELOPMENT else crc32(f"{wildcards.cohort} {seed}".encode())
