from pathlib import Path

import yaml

from nenflow.documents import write_json
from nenflow.files import write_text
from nenflow.logs import start_log
from nenflow.report.provenance import code_state, inputs_table, software_table, without_folders
from nenflow.report.results import read_results
from nenflow.report.sections import is_simulated
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
study, output = snakemake.params.study, snakemake.output
pictures = map(Path, snakemake.input.pictures)
patients = {cohort: {} for cohort in study["cohorts"]}
for folder in pictures:
    patients[folder.parent.name][folder.name] = read_table(folder / "inputs.csv")
write_table(inputs_table(snakemake.params.tables, patients), output.inputs)
write_table(software_table(), output.software)
simulated = is_simulated(study, read_results(snakemake.input.pictures, folder=Path(output.run).parents[1]))
run = code_state(Path(snakemake.params.project), snakemake.params.version)
write_json(run | {"seed": study["seed"], "simulated": simulated}, output.run)
text = yaml.safe_dump(without_folders(study), sort_keys=False, allow_unicode=True, width=120)
head = "# The settings as they ran, defaults filled in; of paths outside the study's folder only the last part.\n"
write_text(head + text, output.study)
