from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/engine.smk"
include: "workflow/inputs/simulation.smk"
include: "workflow/inputs/cohort.smk"
include: "workflow/inputs/images.smk"
include: "workflow/inputs/features.smk"
include: "workflow/inputs/models.smk"
include: "workflow/inputs/evaluation.smk"
include: "workflow/inputs/multiverse.smk"
include: "workflow/inputs/application.smk"
include: "workflow/inputs/report.smk"
include: "workflow/rules/simulation.smk"
include: "workflow/rules/cohort.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/stability.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/multiverse.smk"
include: "workflow/rules/application.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/progress.smk"


state_parameters()


rule all:
    default_target: True
    input:
        [file for study in STUDIES for file in [*pages(study), *exports(study)]],
        expand("results/{study}/ro-crate-metadata.json", study=STUDIES),
        "results/index.html",


onstart:
    # For every job that has finished, Snakemake weighs all waiting jobs anew each second, so as not to start too many in
    # a second; after some hundred jobs that takes a core for itself. On one's own machine there is no such limit.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
    date_results()
    remove_leftovers()
    watch_run()


onsuccess:
    remove_leftovers()
    end_run(success=True)


onerror:
    remove_leftovers()
    end_run(success=False)
