from pathlib import Path

from nenflow.cohort.comparison import table_one
from nenflow.cohort.flow import flow, list_exclusions, lost_regions, remaining
from nenflow.cohort.units import read_units
from nenflow.logs import start_log
from nenflow.models.missing import missing_table
from nenflow.study import endpoint_variables
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
study = snakemake.params.study
variables = study["variables"]
patients = read_table(snakemake.input.patients)["patient"]
measures = snakemake.input.get("measures")
units = read_units(snakemake.input.patients, snakemake.input.lesions, variables, measures)

known = {
    "status": read_table(snakemake.input.cases),
    "failures": [read_table(path) for path in snakemake.input.failures],
    "reference": study["stability"]["readings"]["reference"] if "stability" in study else None,
    "pattern": snakemake.params.pattern,
}
exclusions = list_exclusions(patients, units.index, **known)
write_table(lost_regions(**known), snakemake.output.lost_regions)
write_table(exclusions, snakemake.output.exclusions)
write_table(flow(patients, units.index, exclusions), snakemake.output.flow)

included = units.loc[remaining(units.index, exclusions)]
write_table(table_one(included, variables), snakemake.output.table_one)
write_table(missing_table(included), snakemake.output.missing)
Path(snakemake.output.comparisons).mkdir(exist_ok=True)  # there may be none to write
for name, endpoint in study["endpoints"].items():
    if "time" in endpoint:
        continue  # groups by an outcome that comes with time would count short follow-up as none
    rule = study.get("comparison", {})
    outcomes = {name for other in study["endpoints"].values() for name in endpoint_variables(other)}
    described = {k: v for k, v in variables.items() if k not in outcomes or k == endpoint["variable"]}
    comparison = table_one(included, described, by=included[endpoint["variable"]], **rule)
    write_table(comparison, Path(snakemake.output.comparisons) / f"{name}.csv")
