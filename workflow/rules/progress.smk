# What a run tells the person who waits for it: the hooks of the Snakefile call these functions. No rules.
from pathlib import Path

from snakemake.logging import logger

from nenflow.progress.failures import Failures
from nenflow.progress.summary import error_lines, exclusion_lines, success_lines, write_run_times

RUN = Failures()
SHOWN = []  # the bar, and the messages of Snakemake that it stands for, while there is one


def watch_run():
    """Follow the run; in a terminal a bar takes the place of Snakemake's messages, unless these were asked for."""
    RUN.total = len(workflow.dag)
    logger.addHandler(RUN)
    messages = next((handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"), None)
    asked = workflow.output_settings
    if messages and messages.can_color_tty() and not (asked.verbose or asked.printshellcmds or asked.quiet):
        from nenflow.progress.bar import Bar  # only where it is drawn

        SHOWN[:] = [Bar(RUN.total), messages]
        logger.removeHandler(messages)
        logger.addHandler(SHOWN[0])


def end_run(success):
    """Say where the reports are or what failed and why, and who was excluded; also in Snakemake's log file."""
    if SHOWN:
        bar, messages = SHOWN
        logger.removeHandler(bar)
        bar.close()
        logger.addHandler(messages)
    lines = excluded_units()
    if success:
        record_run_times()
        made = [*(page for study in STUDIES for page in pages(study)), "results/index.html"]
        logger.info("\n".join(lines + success_lines(page for page in made if Path(page).is_file())))
    else:
        logger.error("\n".join(lines + error_lines(RUN)))


def record_run_times():
    """Write how long the jobs of each study took, whenever they ran, as Snakemake has noted it."""
    times = {study: [] for study in STUDIES}
    for job in workflow.dag.jobs:
        noted = workflow.persistence.metadata(job.output[0]) if job.output else None
        if noted and noted.get("endtime") and (study := job.wildcards_dict.get("study")):
            times[study].append((job.rule.name, noted["starttime"], noted["endtime"]))
    for study, jobs in times.items():
        if jobs:
            write_run_times(jobs, Path(f"results/{study}/provenance/run_times.csv"))


def excluded_units():
    """Lines that say who was excluded from the cohorts of all studies, and why, as far as the run has come."""
    return [
        line
        for study, settings in STUDIES.items()
        for cohort in settings["cohorts"]
        for line in exclusion_lines(study, cohort, Path(f"results/{study}/cohort/{cohort}/exclusions.csv"))
    ]
