from nenflow.documents import read_json
from nenflow.evaluation.schemes import scheme_table, selection_shares
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
files = snakemake.input
validation, steps = read_json(files.validation), read_json(files.model)["steps"]
crossed, external = (read_json(files[name]) if files.get(name) else None for name in ("crossed", "external"))
chosen = {"variables": list((steps.get("cox") or steps["logistic"])["coefficients"])}
chosen["features"] = list(steps["lasso"]["coefficients"]) if "lasso" in steps else []

table = scheme_table(read_json(files.performance), validation, read_table(files.fixed), crossed, external)
write_table(table, snakemake.output.schemes)
write_table(selection_shares(validation, crossed, chosen), snakemake.output.selection)
