from nenflow.cohort.flow import remaining
from nenflow.cohort.units import followed_up, labelled, read_units
from nenflow.evaluation.effects import median_groups, survival_effects
from nenflow.evaluation.groups import (
    best_cutpoints,
    incidence_curves,
    survival_curves,
    survival_summary,
    survival_tests,
)
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
study, settings = snakemake.params.study, snakemake.params.settings
variables, endpoint = study["variables"], study["endpoints"][snakemake.wildcards.endpoint]
measures = snakemake.input.get("measures")
units = read_units(snakemake.input.patients, snakemake.input.lesions, variables, measures)
units = units.loc[remaining(units.index, read_table(snakemake.input.exclusions))]
patients, y = followed_up(units, endpoint)
groups = {name: labelled(patients[name], variables[name]) for name in settings.get("by", [])}
halved = patients[settings.get("medians", [])]
groups |= median_groups(halved)

write_table(survival_curves(y, groups), snakemake.output.curves)
write_table(survival_summary(y, groups, endpoint["times"]), snakemake.output.summary)
write_table(survival_tests(y, groups), snakemake.output.tests)
write_table(survival_effects(y, groups, halved), snakemake.output.effects)
write_table(incidence_curves(y, groups), snakemake.output.incidence)
cutpoints = best_cutpoints(y, patients[settings.get("cutpoints", [])], snakemake.params.seed)
write_table(cutpoints, snakemake.output.cutpoints)
