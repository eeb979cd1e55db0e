import highdicom
import numpy as np
import pandas as pd
import pydicom
import pytest
from scipy.stats import spearmanr

from nenflow.errors import InputError
from nenflow.simulation.liver import TISSUE_HU, Liver, grid_around, paint_liver, simulate_livers
from nenflow.simulation.phantoms import slice_depth
from simulated import digests

BLOCK = {
    "phases": {
        "arterial": {"enhancement": 1.0, "heterogeneity": 1.0, "noise": 15},
        "portal": {"enhancement": 1.7, "heterogeneity": 0.5, "noise": 15},
    },
    "matrix": 64,
    "spacing_mm": 2.5,
    "slice_thickness_mm": 1.25,
    "kvp": 100,
    "rtstruct": 0.5,
    "raters": {"reader1": {"boundary_mm": 1.0, "shift_mm": 0.0}, "reader2": {"boundary_mm": 1.5, "shift_mm": 0.5}},
}
TITLED = {"title": "livers", "liver": BLOCK}
# Far smaller than a liver, so that a test takes a second.
TRUTH = pd.DataFrame(
    {
        "volume_value": [200.0, 260.0],
        "enhancement_value": [60.0, 70.0],
        "heterogeneity_value": [9.0, 12.0],
        "coarseness_value": [4.0, 5.0],
    },
    index=pd.Index(["P001", "P002"], name="patient"),
)
FINE = {"matrix": 120, "spacing_mm": 2.0, "slice_thickness_mm": 2.0}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("livers")
    return folder, pd.DataFrame(simulate_livers(TITLED, TRUTH, 3, folder))


@pytest.mark.parametrize(("volume", "seed"), [(1200, 1), (1550, 2), (2000, 3)])
def test_a_liver_has_its_volume_and_is_thicker_on_the_right(volume, seed):
    liver = Liver.draw(volume, np.random.default_rng(seed))
    grid = grid_around(FINE, liver)
    mask = slice_depth(liver, grid) > 0
    assert liver.volume() == pytest.approx(volume)
    assert mask.sum() * np.prod(grid.voxel) / 1000 == pytest.approx(volume, rel=0.005)
    faces = [mask[0], mask[-1], mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1]]
    assert not any(face.any() for face in faces)  # the whole liver is in the image
    half = mask.shape[2] // 2
    assert mask[:, :, :half].sum() > mask[:, :, half:].sum()  # x rises to the patient's left


def test_readers_differ_by_little_of_a_whole_liver():
    rng = np.random.default_rng(4)
    liver = Liver.draw(1500, rng)
    grid = grid_around(FINE, liver)
    mask = slice_depth(liver, grid) > 0
    dice = []
    for boundary in (1.0, 3.0):
        read = slice_depth(liver.misread(boundary, 0.0, rng), grid) > 0
        dice.append(2 * (mask & read).sum() / (mask.sum() + read.sum()))
    assert 0.90 < dice[1] < dice[0] < 0.99


def painted(looks, heterogeneity=9.0, coarseness=4.0, seed=1):
    rng = np.random.default_rng(seed)
    liver = Liver.draw(300, rng)
    grid = grid_around(BLOCK, liver)
    depth = slice_depth(liver, grid)
    truth = {"enhancement_value": 65.0, "heterogeneity_value": heterogeneity, "coarseness_value": coarseness}
    return np.where(depth > 4, paint_liver(depth, grid, truth, looks, rng).astype(float), np.nan), depth


def test_a_phase_has_its_enhancement_texture_and_noise():
    arterial, _ = painted(BLOCK["phases"]["arterial"])
    portal, depth = painted(BLOCK["phases"]["portal"])
    # Means of some ten thousand voxels; the variances of texture and noise add up.
    assert np.nanmean(arterial) == pytest.approx(65, abs=1)
    assert np.nanmean(portal) == pytest.approx(1.7 * 65, abs=1)
    assert np.nanstd(arterial) == pytest.approx(np.hypot(9, 15), rel=0.03)
    assert np.nanstd(portal) == pytest.approx(np.hypot(4.5, 15), rel=0.03)
    rng = np.random.default_rng(2)
    liver = Liver.draw(300, rng)
    grid = grid_around(BLOCK, liver)
    depth = slice_depth(liver, grid)
    image = paint_liver(depth, grid, TRUTH.loc["P001"], BLOCK["phases"]["portal"], rng)
    assert image[depth < -4].mean() == pytest.approx(TISSUE_HU, abs=1)


def test_latents_of_the_texture_decide_how_alike_neighbours_are():
    def alike(**latents):
        values, _ = painted(BLOCK["phases"]["arterial"], **latents)
        one, other = values[:, :, :-1].ravel(), values[:, :, 1:].ravel()
        both = np.isfinite(one) & np.isfinite(other)
        return np.corrcoef(one[both], other[both])[0, 1]

    steps = range(6)
    assert spearmanr([alike(heterogeneity=5.0 + 2 * step) for step in steps], steps).statistic > 0.95
    assert spearmanr([alike(coarseness=2.5 + 0.8 * step) for step in steps], steps).statistic > 0.95


def test_two_readers_in_two_phases(written):
    folder, cases = written
    assert cases.groupby(["phase", "rater"]).size().to_dict() == {
        (phase, rater): 2 for phase in ("arterial", "portal") for rater in ("reader1", "reader2")
    }
    assert set(cases["region"]) == {"liver"}
    assert cases["segmentation"].is_unique
    assert all((folder / path).is_file() for path in cases["segmentation"])
    formats = cases["segmentation"].str.extract(r"/(SEG|RTSTRUCT)_")[0].value_counts()
    assert formats.to_dict() == {"SEG": 4, "RTSTRUCT": 4}


def test_the_series_are_those_of_the_publication(written):
    folder, cases = written
    for patient, phase in {(row.patient, row.phase) for row in cases.itertuples()}:
        slices = [pydicom.dcmread(path) for path in (folder / "dicom" / patient / phase).glob("*.dcm")]
        assert {slice_.KVP for slice_ in slices} == {100}
        z = np.sort([float(slice_.ImagePositionPatient[2]) for slice_ in slices])
        np.testing.assert_allclose(np.diff(z), 1.25, atol=1e-9)
        assert all("SIMULATED" in slice_.SeriesDescription for slice_ in slices)
    uids = {pydicom.dcmread(next((folder / path).glob("*.dcm"))).SeriesInstanceUID for path in cases["image"].unique()}
    assert len(uids) == 4


def test_segmentations_say_that_they_are_of_the_liver(written):
    folder, cases = written
    for path in cases["segmentation"]:
        if "RTSTRUCT" in path:
            structures = pydicom.dcmread(folder / path)
            assert structures.StructureSetROISequence[0].ROIName == "liver"
            assert structures.RTROIObservationsSequence[0].RTROIInterpretedType == "ORGAN"
        else:
            segment = highdicom.seg.segread(folder / path).get_segment_description(1)
            assert segment.segmented_property_type.meaning == "Liver"


def test_the_seed_decides_the_bytes(written, tmp_path):
    folder, _ = written
    simulate_livers(TITLED, TRUTH, 3, tmp_path / "again")
    assert digests(tmp_path / "again", "*.dcm") == digests(folder, "*.dcm")
    simulate_livers(TITLED, TRUTH, 4, tmp_path / "other")
    assert not set(digests(tmp_path / "other", "*.dcm").values()) & set(digests(folder, "*.dcm").values())


def test_what_cannot_be_drawn_is_said(tmp_path):
    with pytest.raises(InputError, match="needs the latent coarseness; add it to latents"):
        simulate_livers(TITLED, TRUTH.drop(columns="coarseness_value"), 1, tmp_path)
    with pytest.raises(InputError, match="A simulated liver of 2000 mL does not fit into the image: enlarge liver"):
        grid_around({**FINE, "matrix": 80}, Liver.draw(2000, np.random.default_rng(1)))
