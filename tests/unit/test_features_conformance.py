import re

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from nenflow.features import conformance
from nenflow.features.conformance import agrees, check_configuration, check_digital_phantom, main

# The line that differs between environments.
VERSIONS = re.compile(r"^Computed with .*$", re.MULTILINE)


def test_all_107_values_of_the_digital_phantom_are_within_their_tolerance():
    table = check_digital_phantom()
    assert list(table.columns) == ["feature", "tag", "id", "value", "reference", "tolerance", "consensus", "within"]
    assert len(table) == table["tag"].nunique() == 107
    assert table["within"].all(), table[~table["within"]]
    volume = table.set_index("tag").loc["morph_vol_approx"]
    assert (volume["value"], volume["id"], volume["consensus"]) == (592, "YEKZ", "very strong")


def test_the_phantom_is_the_published_one(test_data, monkeypatch):
    seen = {}
    monkeypatch.setattr(conformance, "check_configuration", lambda *given: seen.update(enumerate(given)))
    check_digital_phantom()
    folder = test_data / "ibsi1" / "ibsi_1_digital_phantom" / "nifti"
    image, mask = sitk.ReadImage(folder / "image" / "phantom.nii.gz"), sitk.ReadImage(folder / "mask" / "mask.nii.gz")
    inside = sitk.GetArrayFromImage(mask) == 1
    assert inside.sum() == 74
    assert seen[1].GetSpacing() == image.GetSpacing()
    assert (sitk.GetArrayFromImage(seen[2]) == inside).all()
    assert (sitk.GetArrayFromImage(seen[1])[inside] == sitk.GetArrayFromImage(image)[inside]).all()


def test_the_reference_values_are_the_published_ones(test_data):
    published = pd.read_csv(test_data / "ibsi1" / "reference_values.csv")
    published = published.rename(columns={"configuration": "case", "ibsi_feature_id": "id", "value": "reference"})
    ours = pd.read_csv(conformance.REFERENCE)
    both = ours.merge(published[["case", "tag", "id", "reference", "tolerance", "consensus"]])
    assert len(both) == len(ours) == 6 * 107
    mapping = pd.read_csv(test_data / "ibsi1" / "pyradiomics_ibsi_mapping.csv")
    for name, case in ours.groupby("case"):
        assert case["feature"].value_counts().to_dict() == mapping["pyradiomics_feature"].value_counts().to_dict()
        flat = name.endswith((" A", " B"))
        tags = mapping["ibsi_tag"].str.replace("_3D", "_2_5D" if flat else "_3D")
        assert set(case["tag"]) == set(tags), name


@pytest.fixture(scope="module")
def ct_phantom(test_data):
    folder = test_data / "ibsi1" / "ibsi_1_ct_radiomics_phantom" / "nifti"
    image = sitk.Round(sitk.ReadImage(folder / "image" / "phantom.nii.gz", sitk.sitkFloat32))
    return image, sitk.ReadImage(folder / "mask" / "mask.nii.gz")


@pytest.mark.parametrize("letter", "ABCDE")
def test_all_107_values_of_the_ct_phantom_are_within_their_tolerance(ct_phantom, letter):
    table = check_configuration(f"configuration {letter}", *ct_phantom)
    assert len(table) == 107
    assert table["within"].all(), table[~table["within"]]


def test_the_check_sees_a_wrong_value(monkeypatch):
    monkeypatch.setitem(conformance.CONFIGURATIONS, "digital phantom", {"binWidth": 3})  # 3 and 4 become one level
    table = check_digital_phantom().set_index("tag")
    assert not table.loc["cm_joint_entr_3D_avg", "within"]
    assert table.loc[table.index.str.startswith(("morph_", "stat_")), "within"].all()


@pytest.mark.parametrize(
    ("value", "reference", "tolerance", "expected"),
    [
        (556.333, 556, 4, True),
        (551.6, 556, 4, True),  # rounds to 552
        (551.4, 556, 4, False),
        (0.6980499, 0.698, 0, True),
        (0.699, 0.698, 0, False),
        (0.694, 0.698, 0.004, True),  # 0.698 - 0.694 is 0.0040000000000000036
        (367_499.0, 361_000, 6000, True),
        (-0.35461, -0.355, 0, True),
        (0.35461, -0.355, 0, False),
        (float("nan"), 0.698, 100, False),
    ],
)
def test_agreement_is_of_three_significant_digits(value, reference, tolerance, expected):
    assert agrees(value, reference, tolerance) is expected


@pytest.mark.parametrize("folder", [None, "empty"])
def test_the_command_needs_no_data_and_leaves_the_page_alone(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(conformance, "DOCUMENT", tmp_path / "ibsi.md")
    assert main(str(tmp_path / folder) if folder else None) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"digital phantom +107/107", lines[0])
    assert "CT phantom is not there" in lines[1]
    assert not (tmp_path / "ibsi.md").exists()


def test_the_command_says_which_values_miss_and_fails(monkeypatch, tmp_path, capsys):
    def spoil(name, image, mask):
        table = check_digital_phantom() if name == "configuration A" else good
        return table.assign(value=np.nan, within=False) if name == "configuration C" else table

    good = check_digital_phantom()
    (tmp_path / "ibsi1" / "ibsi_1_ct_radiomics_phantom" / "nifti").mkdir(parents=True)
    monkeypatch.setattr(conformance, "DOCUMENT", tmp_path / "ibsi.md")
    monkeypatch.setattr(conformance, "_read_phantom", lambda folder: (None, None))
    monkeypatch.setattr(conformance, "check_digital_phantom", lambda: good)
    monkeypatch.setattr(conformance, "check_configuration", spoil)
    assert main(str(tmp_path)) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("digital", "configuration"))]
    assert [line.split()[-1] for line in lines] == ["107/107"] * 3 + ["0/107"] + ["107/107"] * 2
    page = (tmp_path / "ibsi.md").read_text()
    assert "| configuration C | 0 of 107 |" in page
    assert "- configuration C, ih_entropy: nan (reference 1.27)" in page


def test_the_page_in_docs_is_what_the_command_writes(pytestconfig):
    good = check_digital_phantom()
    page = conformance.document(dict.fromkeys(conformance.CONFIGURATIONS, good))
    kept = (pytestconfig.rootpath / "docs" / "ibsi.md").read_text(encoding="utf-8")
    assert VERSIONS.search(kept)
    assert VERSIONS.sub("", kept) == VERSIONS.sub("", page)
