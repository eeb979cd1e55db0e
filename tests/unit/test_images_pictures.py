import time

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from nenflow.images.pictures import COLOUR, HEAD, MARGIN_MM, OTHERS, PANEL, SCALE_MM, SIZE, write_picture

NEAR = 60  # of 255: soft edges of lines, and the file's 128 colours
PIXELS = 4  # lines are 2 to 3 pixels wide
SHADE = 12  # of 255: 48 shades, then 128 colours in the file
SECONDS = 1.0  # 0.1 s when nothing else runs
LARGEST = 80_000  # bytes


def scan(array, spacing=(1.0, 1.0, 1.0)):
    image = sitk.GetImageFromArray(np.asarray(array))
    image.SetSpacing(spacing)
    return image


def mask_like(image, box):
    array = np.zeros(image.GetSize()[::-1], np.uint8)
    array[box] = 1
    mask = sitk.GetImageFromArray(array)
    mask.CopyInformation(image)
    return mask


def panels_of(path):
    """The three planes as arrays of 300 x 300 x 3, by name."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    names = ("axial", "coronal", "sagittal")
    return {name: picture[HEAD:, n * PANEL : (n + 1) * PANEL] for n, name in enumerate(names)}


def pixels_like(panel, colour):
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return np.nonzero(np.abs(panel - wanted).max(axis=2) < NEAR)


@pytest.fixture
def flat():
    """A scan of 60 x 60 x 30 voxels of 2 x 2 x 4 mm at 40 HU, which the window shows as middle grey."""
    return scan(np.full((30, 60, 60), 40, np.float32), (2.0, 2.0, 4.0))


def test_outline_has_the_true_proportions_in_each_plane(flat, tmp_path):
    # 20 columns (40 mm), 10 rows (20 mm), 15 slices (60 mm), so the picture shows 60 + 2 x 40 mm in 300 pixels
    masks = {"r1": mask_like(flat, np.s_[8:23, 20:30, 15:35])}
    write_picture(flat, masks, "r1", tmp_path / "p.png", "P-1", "HU")
    assert Image.open(tmp_path / "p.png").size == (3 * PANEL, HEAD + PANEL) == SIZE
    scale = PANEL / (60 + 2 * MARGIN_MM)
    for name, (across, up) in {"axial": (40, 20), "coronal": (40, 60), "sagittal": (20, 60)}.items():
        rows, columns = pixels_like(panels_of(tmp_path / "p.png")[name], COLOUR)
        assert np.ptp(columns) == pytest.approx(across * scale, abs=PIXELS), name
        assert np.ptp(rows) == pytest.approx(up * scale, abs=PIXELS), name
        assert (columns.min() + columns.max()) / 2 == pytest.approx(PANEL / 2, abs=PIXELS), name
        assert (rows.min() + rows.max()) / 2 == pytest.approx(PANEL / 2, abs=PIXELS), name


def test_outline_lies_on_the_borders_of_the_voxels(tmp_path):
    array = np.zeros((20, 40, 40), np.float32)
    region = np.s_[8:12, 15:25, 16:24]
    array[region] = 200
    image = scan(array, (4.0, 4.0, 6.0))  # 40 x 32 x 24 mm; a voxel is 10 pixels and more, a line less than 3
    write_picture(image, {"r1": mask_like(image, region)}, "r1", tmp_path / "p.png", "P-1", "HU", (0, 200))
    scale = PANEL / (40 + 2 * MARGIN_MM)
    for name, (across, up) in {"axial": (32, 40), "coronal": (32, 24), "sagittal": (40, 24)}.items():
        panel = panels_of(tmp_path / "p.png")[name].mean(axis=2)
        # Along the two middle lines, since an outline cuts the corners of voxels.
        for line, length in ((panel[145:155].mean(axis=0), across), (panel[:, 145:155].mean(axis=1), up)):
            half = round(length / 2 * scale)
            assert line[150 - half + 3 : 150 + half - 3].min() > 255 - SHADE, name
            assert line[30 : 150 - half - 3].max() < SHADE, name
            assert line[150 + half + 3 : -30].max() < SHADE, name


def test_scale_is_as_long_as_it_says(flat, tmp_path):
    masks = {"r1": mask_like(flat, np.s_[8:23, 20:30, 15:35])}
    write_picture(flat, masks, "r1", tmp_path / "p.png", "P-1", "HU")
    white = (panels_of(tmp_path / "p.png")["axial"][int(0.95 * PANEL)] > 255 - NEAR).all(axis=1)
    assert np.ptp(np.flatnonzero(white)) + 1 == pytest.approx(SCALE_MM * PANEL / 140, abs=1)


def test_planes_lie_as_on_a_light_box_whatever_the_order_in_the_file(flat, tmp_path):
    array = sitk.GetArrayFromImage(flat)
    middle = np.s_[14:17, 29:32, 29:32]
    array[15, 30, 40:44] = 240  # to the left of the person
    array[15, 16:20, 30] = 240  # to the front
    array[22:25, 30, 30] = 240  # to the head
    image = scan(array, (2.0, 2.0, 4.0))
    mask = mask_like(image, middle)
    write_picture(image, {"r1": mask}, "r1", tmp_path / "p.png", "P-1", "HU", (39, 240))
    panels = panels_of(tmp_path / "p.png")
    inner = np.s_[30:-45, 30:-30]  # without letters and scale

    def bright(name):
        rows, columns = np.nonzero((panels[name][inner] > 200).all(axis=2))
        return rows + 30 - PANEL / 2, columns + 30 - PANEL / 2

    rows, columns = bright("axial")  # left at the right, front above
    assert (columns > 40).any()
    assert (rows < -40).any()
    assert rows.max() < 20
    assert columns.min() > -20
    rows, columns = bright("coronal")  # left at the right, head above
    assert (columns > 40).any()
    assert (rows < -40).any()
    assert columns.min() > -20
    rows, columns = bright("sagittal")  # front at the left, head above
    assert (columns < -40).any()
    assert (rows < -40).any()
    assert columns.max() < 20
    for orientation in ("RAS", "SRP", "PIR"):
        turned = {"r1": sitk.DICOMOrient(mask, orientation)}
        again = tmp_path / f"{orientation}.png"
        write_picture(sitk.DICOMOrient(image, orientation), turned, "r1", again, "P-1", "HU", (39, 240))
        assert again.read_bytes() == (tmp_path / "p.png").read_bytes()


def test_each_plane_is_the_slice_in_which_the_region_is_largest(flat, tmp_path):
    array = sitk.GetArrayFromImage(flat)
    array[18] = 200
    image = scan(array, (2.0, 2.0, 4.0))
    mask = mask_like(image, np.s_[10:18, 28:32, 28:32])
    mask[24:36, 24:36, 18] = 1
    write_picture(image, {"r1": mask}, "r1", tmp_path / "p.png", "P-1", "HU")
    corner = panels_of(tmp_path / "p.png")["axial"][20, 20]
    assert corner == pytest.approx(255 * 360 / 400, abs=SHADE)  # 200 in the window of -160 to 240


def test_other_readers_are_thin_and_below(flat, tmp_path):
    masks = {
        "r2": mask_like(flat, np.s_[8:23, 22:32, 15:35]),
        "r1": mask_like(flat, np.s_[8:23, 20:30, 15:35]),
        "r3": mask_like(flat, np.s_[8:23, 20:30, 15:35]),
        "elsewhere": mask_like(flat, np.s_[0:1, 0:1, 0:1]),
    }
    write_picture(flat, masks, "r1", tmp_path / "p.png", "P-1", "HU")
    axial = panels_of(tmp_path / "p.png")["axial"]
    own, other = (len(pixels_like(axial, colour)[0]) for colour in (COLOUR, OTHERS[0]))
    assert 0 < other < 0.85 * own
    assert len(pixels_like(axial, OTHERS[1])[0]) == 0  # the same outline lies below the own one


def test_windows_follow_the_unit(tmp_path):
    array = np.full((20, 30, 30), 2.0, np.float32)
    array[5:15, 10:20, 10:20] = 20
    image = scan(array, (4.0, 4.0, 4.0))
    masks = {"r1": mask_like(image, np.s_[5:15, 10:20, 10:20])}
    middle, edge = np.s_[140:160, 140:160], np.s_[40:60, 60:80]
    for unit, window, inside, outside in [
        ("HU", None, 255 * 180 / 400, 255 * 162 / 400),
        ("SUV", None, 0, 255 * 0.9),
        ("SUV", (0, 4), 0, 255 * 0.5),
        (None, None, 255, 0),
        ("HU", (0, 40), 255 * 0.5, 255 * 0.05),
    ]:
        write_picture(image, masks, "r1", tmp_path / "p.png", "P-1", unit, window)
        axial = panels_of(tmp_path / "p.png")["axial"]
        assert axial[middle].mean() == pytest.approx(inside, abs=SHADE), unit
        assert axial[edge].mean() == pytest.approx(outside, abs=SHADE), unit


def test_a_cold_region_is_shown_up_to_an_suv_of_five(tmp_path):
    image = scan(np.full((20, 30, 30), 2.5, np.float32), (4.0, 4.0, 4.0))
    masks = {"r1": mask_like(image, np.s_[5:15, 10:20, 10:20])}
    write_picture(image, masks, "r1", tmp_path / "p.png", "P-1", "SUV")
    assert panels_of(tmp_path / "p.png")["axial"][140:160, 140:160].mean() == pytest.approx(255 * 0.5, abs=SHADE)


@pytest.mark.parametrize("unit", ["HU", "SUV", None])
def test_a_region_at_the_border_of_a_small_scan_is_outlined_all_round(unit, tmp_path):
    image = scan(np.zeros((8, 12, 12), np.float32), (2.0, 2.0, 2.0))  # without contrast too
    masks = {"r1": mask_like(image, np.s_[:, :, :])}
    write_picture(image, masks, "r1", tmp_path / "p.png", "P-1", unit)
    scale = PANEL / (24 + 2 * MARGIN_MM)
    for name, up in {"axial": 24, "coronal": 16, "sagittal": 16}.items():
        panel = panels_of(tmp_path / "p.png")[name]
        rows, columns = pixels_like(panel, COLOUR)
        assert np.ptp(columns) == pytest.approx(24 * scale, abs=PIXELS)
        assert np.ptp(rows) == pytest.approx(up * scale, abs=PIXELS)
        assert (panel[20, 20] == (255 if unit == "SUV" else 0)).all()  # where no scan is


def test_a_noisy_picture_is_small_quick_and_the_same_each_time(tmp_path):
    rng = np.random.default_rng([1, 0])
    image = scan(rng.normal(60, 25, (60, 512, 512)).astype(np.float32), (0.7, 0.7, 5.0))
    masks = {
        "r1": mask_like(image, np.s_[25:35, 220:260, 220:260]),
        "r2": mask_like(image, np.s_[25:35, 222:262, 220:260]),
    }
    started = time.process_time()
    for name in ("one", "two"):
        write_picture(image, masks, "r1", tmp_path / f"{name}.png", "P-1 (simulated data)", "HU")
    assert (time.process_time() - started) / 2 < SECONDS
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size < LARGEST
