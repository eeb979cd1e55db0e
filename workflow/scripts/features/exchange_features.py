from nenflow.features.slicer_table import slicer_tables
from nenflow.features.structured_report import structured_report
from nenflow.files import whole_folder
from nenflow.logs import start_log
from nenflow.tables import read_table

start_log(snakemake.log[0])
names, params = snakemake.wildcards, snakemake.params
cases, features = (read_table(snakemake.input[name]) for name in ("cases", "features"))
cases = cases[cases["patient"] == names.patient]
report = structured_report(
    who={"study": names.study, "cohort": names.cohort, "patient": names.patient},
    cases=cases,
    features=features,
    extraction={"name": names.extraction, "conformance": params.conformance},
    version=params.version,
    simulated=params.simulated,
)
with whole_folder(snakemake.output[0]) as folder:
    if report is not None:
        report.save_as(folder / "features.dcm")
    for table, name in zip(slicer_tables(cases, features), ("features.tsv", "features.schema.tsv"), strict=True):
        table.to_csv(folder / name, sep="\t", index=False, lineterminator="\n", encoding="utf-8")
