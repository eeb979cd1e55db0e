from nenflow.documents import read_json, write_json
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.nomogram import nomogram, points_table
from nenflow.models.shrinkage import factor_of, shrink_model
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
document = read_json(snakemake.input.model)
scores, y = split(read_table(snakemake.input.scores, index=UNIT))
validation = read_json(snakemake.input.validation)
factor = factor_of(validation["scores"].get(snakemake.wildcards.model, {}).get("slope"))
*_, final = document["steps"]
if factor is None or not document["steps"][final]["coefficients"]:
    drawn = {
        "variables": {},
        "survival": [],
        "note": "There is no corrected calibration slope above 0, so nothing is left to shrink.",
    }
else:
    document["steps"][final] = shrink_model(document["steps"][final], scores["linear_predictor"].to_numpy(), y, factor)
    drawn = nomogram(document["steps"][final], document["steps"].get("terms"))
write_json(document | {"shrinkage": factor}, snakemake.output.model)
write_json(drawn, snakemake.output.nomogram)
write_table(points_table(drawn), snakemake.output.points)
