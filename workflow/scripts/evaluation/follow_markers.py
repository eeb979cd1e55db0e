from nenflow.cohort.units import followed_up, read_units
from nenflow.evaluation.groups import cutoff_tests, groups_by_cutoff, survival_curves, survival_summary
from nenflow.evaluation.markers import refuse_unknown
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params, endpoint = snakemake.params, snakemake.params.endpoint
X, _ = split(read_table(snakemake.input.dataset, index=UNIT))
refuse_unknown(X, params.features)
cutoffs = read_table(snakemake.input.markers, index=["marker"]).loc[params.features, "threshold"].dropna()
units = read_units(snakemake.input.patients, snakemake.input.lesions, params.variables)
_, y = followed_up(units.loc[X.index], endpoint)
values = X.droplevel("region").loc[y.index]

groups = groups_by_cutoff(values, cutoffs)
write_table(survival_curves(y, groups), snakemake.output.curves)
write_table(survival_summary(y, groups, endpoint["times"]), snakemake.output.summary)
write_table(cutoff_tests(y, values, cutoffs, params.seed), snakemake.output.tests)
