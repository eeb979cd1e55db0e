import base64
import csv
import gzip
import io
import json
import re
import shutil
import struct
import warnings

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

import plain_readers as plain
from hostile_files import (
    ANY_FILE,
    AS_IT_SAYS,
    DICOM_BYTES,
    DICOM_TAGS,
    ELSEWHERE,
    LESION,
    NRRD,
    ODD_FILES,
    PACKED_NIFTI,
    PACKED_NRRD,
    PLAIN_NIFTI,
    PLAIN_NRRD,
    REFUSED,
    SECRETS,
    SHAPE,
    UNCHANGED,
    Good,
    elements,
    hit_pixels,
    make_goods,
    nifti,
    nrrd,
    put_folder,
    rewrite,
)
from images_files import SERIES, refusal
from nenflow.cohort.checks import read_cohort
from nenflow.cohort.listing import list_cases
from nenflow.errors import InputError
from nenflow.features.extraction import extract_patient
from nenflow.images.geometry import affine
from nenflow.images.patients import import_patient
from nenflow.images.segmentations import list_segments, read_mask
from nenflow.images.volumes import read_volume
from nenflow.records import write_records
from nenflow.report.gallery import render_gallery
from nenflow.report.results import read_results
from nenflow.study import READ_AS_MISSING, read_schema, violations
from nenflow.tables import read_table
from projects import ROOT

SCHEMAS, TEMPLATES = ROOT / "workflow" / "schemas", ROOT / "workflow" / "report"
LONGEST_IN_STUDY = 40  # letters of an identifier in study.yaml; those in tables have 64 at most
SAME_IN_ALL = 0.2  # share of damages that are done to all slices alike
SETTINGS = {"minimum_volume_mm3": 20}
CASE = {"patient": "p1", "phase": "venous", "region": "lesion-1", "rater": "r1", "series": ""}
# Damaged inputs by kind of good input; every kind of damage to every file of it is among them.
COUNTS = {
    "rs": 60, "binary": 50, "fractional": 40, "labelmap": 40, "enhanced": 60, "pet": 60, "packed": 30, "implicit": 30,
    "nrrd": 50, "nrrd.gz": 40, "slicer": 40, "slicer.gz": 40, "nii": 30, "nii.gz": 30,
}  # fmt: skip
# Of a voxel: slices may lie off the even grid by that much (stated in nenflow.images.geometry); and the numbers that
# NIfTI keeps of a position are rounded to 32 bits.
SLICE_TOLERANCE, ROUNDING = 0.1, 1e-3
LONGEST_REASON = 400


@pytest.fixture(scope="module")
def good_inputs(tmp_path_factory):
    return make_goods(tmp_path_factory.mktemp("good"))


def run(good, root, odd=None, data=None):
    """Import one case of these files into `root`/out/p1; `odd` is a path and what is put there instead of its file."""
    data = data or root / "data"
    root.mkdir(parents=True, exist_ok=True)
    for path, content in good.files.items():
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        if odd and odd[0] == path:
            odd[1](data / path)
        else:
            (data / path).write_bytes(content)
    before = listing(root)
    case = CASE | {"image": good.image, "segmentation": good.segmentation, "segment": good.segment}
    import_patient([case], data, root / "out" / "p1", SETTINGS, "r1", strict=False)
    assert {path: what for path, what in listing(root).items() if path.parts[0] != "out"} == before
    with open(root / "out" / "p1" / "cases.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [tuple(row[name] for name in ("patient", "phase", "region", "rater")) for row in rows] == [
        ("p1", "venous", "lesion-1", "r1")
    ]
    return rows[0], root / "out" / "p1"


def listing(root):
    """All below a folder, with the bytes of files."""
    return {
        path.relative_to(root): path.read_bytes() if path.is_file() and not path.is_symlink() else path.is_symlink()
        for path in root.rglob("*")
    }


def check_reason(reason, root):
    assert reason.endswith(".")
    assert len(reason) < LONGEST_REASON
    assert reason.isprintable()
    assert ". " not in reason, "more than a sentence"
    for word in (*SECRETS, str(root), "/data", "Traceback", "Error", "error", "pydicom", "ITK"):
        assert word not in reason
    assert not re.search(r"\d+(\.\d+){3,}", reason), "a UID"


def contents(folder):
    for path in folder.iterdir():
        content = path.read_bytes()
        yield path.name, gzip.decompress(content) if path.suffix == ".gz" else content


def check_written(row, folder, root):
    """What holds of any result, whatever the input was."""
    names = {path.name for path in folder.iterdir()}
    scan, own = {"venous.nii.gz", "venous.json"}, {"venous_lesion-1_r1.nii.gz", "venous_lesion-1_r1.png"}
    if row["status"] == "included":
        assert names == {"cases.csv", "readings.csv"} | scan | own
        assert row["reason"] == ""
    else:
        assert row["status"] == "excluded"
        assert names - scan == {"cases.csv", "readings.csv"}
        check_reason(row["reason"], root)
    for name, content in contents(folder):
        for secret in (*SECRETS, str(root)):
            assert secret.encode() not in content, f"{secret} in {name}"


def result(folder):
    scan = sitk.ReadImage(folder / "venous.nii.gz")
    mask = sitk.ReadImage(folder / "venous_lesion-1_r1.nii.gz")
    return scan, sitk.GetArrayFromImage(scan), sitk.GetArrayFromImage(mask)


def same(found, known):
    return (
        found[1].shape == known[1].shape
        and np.array_equal(found[1], known[1])
        and np.array_equal(found[2], known[2])
        and np.allclose(affine(found[0]), affine(known[0]), atol=1e-4)
    )


def check_as_it_says(found, good, data):
    """Compare with the files as they now are, read by other means."""
    scan, values, mask = found
    to_lps = affine(scan)
    to_index = np.linalg.inv(to_lps)
    if good.image.endswith((".nrrd", ".nii", ".nii.gz")):
        suffix = ".nrrd" if good.image.endswith(".nrrd") else ".nii"
        read = plain.read_nrrd if suffix == ".nrrd" else plain.read_nifti
        plain_values, plain_affine, _ = read((data / good.image).read_bytes())
        assert np.allclose(plain_affine, to_lps, rtol=1e-4, atol=ROUNDING)
        assert np.allclose(plain_values, values, rtol=1e-6)
    else:
        check_slices(plain.read_slices([data / path for path in good.paths("image")]), to_index, values)
    drawn = data / good.segmentation
    if good.segmentation.endswith((".nrrd", ".nii", ".nii.gz")):
        suffix = ".nrrd" if good.segmentation.endswith(".nrrd") else ".nii"
        wanted = plain.read_labels(drawn.read_bytes(), suffix, good.segment, to_index, mask.shape)
    else:
        read = plain.read_outlines if good.segmentation == "rs.dcm" else plain.read_frames
        wanted = read(drawn, good.segment, to_index, mask.shape)
    assert np.array_equal(wanted, mask == 1)


def check_slices(slices, to_index, values):
    places = []
    for first, right, down, stored in slices:
        index = to_index[:3, :3] @ first + to_index[:3, 3]
        assert np.abs(index - [0, 0, np.rint(index[2])]).max() <= SLICE_TOLERANCE + ROUNDING
        assert np.allclose(to_index[:3, :3] @ np.column_stack([right, down]), np.eye(3)[:, :2], atol=5e-3)
        places.append(round(float(index[2])))
        assert np.allclose(values[places[-1]], stored, rtol=1e-6)
    assert sorted(places) == list(range(len(values)))


def check_right(row, folder, good, data, known, expected):
    """A result is what it may be after damage of a kind."""
    if row["status"] == "excluded":
        return
    assert expected != REFUSED, "included"
    found = result(folder)
    if not same(found, known):
        assert expected != UNCHANGED, "included with other values"
        check_as_it_says(found, good, data)


def damages(good, name, path):
    """Kinds of damage that a file can have, and what is right after each."""
    if path.endswith(".nrrd"):
        packed = b"encoding: gzip" in good.files[path]
        return ANY_FILE | NRRD | (PACKED_NRRD if packed else PLAIN_NRRD)
    if ".nii" in path:
        return ANY_FILE | (PACKED_NIFTI if path.endswith(".gz") else PLAIN_NIFTI)
    kinds = ANY_FILE | DICOM_TAGS
    if name not in ("implicit", "packed"):
        kinds = kinds | DICOM_BYTES | ({} if path == "rs.dcm" else {hit_pixels: AS_IT_SAYS})
    return kinds


def inputs(good, name):
    """Damaged copies of a good input: a description, the files, and what is right; the kinds take turns."""
    rng = np.random.default_rng([3, list(COUNTS).index(name)])
    turns = {"image": 0, "segmentation": 0}
    for number in range(COUNTS[name]):
        what = ("image", "segmentation")[number % 2]
        paths = good.paths(what)
        path = paths[rng.integers(len(paths))]
        kinds = list(damages(good, name, path).items())
        damage, expected = kinds[turns[what] % len(kinds)]
        turns[what] += 1
        together = len(paths) > 1 and rng.random() < SAME_IN_ALL
        seed = int(rng.integers(2**31))
        changed = {
            one: damage(content, np.random.default_rng(seed)) if one == path or (together and one in paths) else content
            for one, content in good.files.items()
        }
        yield f"{number} {damage.__name__} {path}{' and others' if together else ''}", changed, expected


def import_damaged(good, root):
    """Import a case, with everything that Python would print about it as well."""
    (root / "data").mkdir(parents=True)
    (root / "secret.raw").write_bytes(bytes(range(256)) * 20)
    files = {path: content.replace(b"{secret}", bytes(root / "secret.raw")) for path, content in good.files.items()}
    broken = Good(files, good.image, good.segmentation, good.segment)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        row, folder = run(broken, root)
    print(*(warning.message for warning in caught), sep="\n")
    return broken, row, folder


@pytest.mark.parametrize("name", COUNTS)
def test_damaged_inputs_are_refused_or_read_right(name, good_inputs, tmp_path, capfd):
    good = good_inputs[name]
    row, folder = run(good, tmp_path / "good")
    check_written(row, folder, tmp_path)
    known = result(folder)
    check_as_it_says(known, good, tmp_path / "good" / "data")
    wrong = []
    for number, (what, files, expected) in enumerate(inputs(good, name)):
        root = tmp_path / str(number)
        try:
            broken, row, folder = import_damaged(Good(files, good.image, good.segmentation, good.segment), root)
            check_written(row, folder, root)
            check_right(row, folder, broken, root / "data", known, expected)
        except Exception as error:  # whatever it is, a user would see its traceback
            wrong.append(f"{what}, {expected}: {type(error).__name__} {str(error)[:300]}")
        shutil.rmtree(root)
    assert not wrong, "\n".join(wrong)
    log = capfd.readouterr()
    for secret in SECRETS[:-1]:  # instances may be named in the log, which stays where the data are
        assert secret not in log.out + log.err


def test_there_are_500_without_the_nifti_files():
    assert sum(count for name, count in COUNTS.items() if "nii" not in name) >= 500


@pytest.mark.parametrize("put", ODD_FILES)
@pytest.mark.parametrize("name", ["rs", "binary", "enhanced", "nrrd", "slicer", "nii.gz"])
def test_anything_else_in_the_place_of_a_file_is_refused(name, put, good_inputs, tmp_path):
    good = good_inputs[name]
    for number, path in enumerate([good.paths("image")[-1], good.segmentation]):
        row, folder = run(good, tmp_path / str(number), (path, put))
        check_written(row, folder, tmp_path)
        if put == put_folder and path.startswith("ct/"):  # a folder among slices is no slice that was lost
            assert json.loads((folder / "venous.json").read_text())["notes"] == ["Left out of the image: 1 subfolder."]
        else:
            assert row["status"] == "excluded"


# --- single defects ----------------------------------------------------------------------------------------------


@pytest.fixture
def ct(good_inputs, tmp_path):
    """The folder of the CT, beside the files of all segmentations."""
    for good in good_inputs.values():
        for path, content in good.files.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            if good.image == "ct" and not (tmp_path / path).exists():
                (tmp_path / path).write_bytes(content)
    return tmp_path / "ct"


def test_a_structure_set_that_lost_its_last_contours_is_not_read_without_them(ct):
    path = ct.parent / "rs.dcm"
    whole, volume = path.read_bytes(), read_volume(ct)
    item = [start for tag, start, _, _ in elements(whole) if tag == 0xFFFEE000][-1]
    path.write_bytes(whole[:item])
    left = pydicom.dcmread(path).ROIContourSequence[1].ContourSequence
    assert [len(contour.ContourData) for contour in left] == [12, 12, 12]  # of four rectangles, without a warning
    assert "cannot be read" in refusal(read_mask, path, "other", volume)


def test_a_wrong_length_does_not_hide_a_contour(ct):
    path = ct.parent / "rs.dcm"
    whole, volume = path.read_bytes(), read_volume(ct)
    data = [place for place in elements(whole) if place[0] == 0x30060050]
    items = [start for tag, start, _, _ in elements(whole) if tag == 0xFFFEE000 and data[0][1] > start]
    at, ends = items[-1] + 4, [place[3] for place in data[:2]]
    longer = int.from_bytes(whole[at : at + 4], "little") + ends[1] - ends[0]
    path.write_bytes(whole[:at] + longer.to_bytes(4, "little") + whole[at + 4 :])
    hidden = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence
    assert len(hidden) == 1  # of two
    assert "cannot be read" in refusal(read_mask, path, "lesion", volume)


def test_a_tag_stands_once(ct):
    path = ct / "001.dcm"
    whole = path.read_bytes()
    start, end = next((start, end) for tag, start, _, end in elements(whole) if tag == 0x00281052)  # RescaleIntercept
    path.write_bytes(whole[:end] + whole[start:end].replace(b"-1024", b"-9999") + whole[end:])
    assert pydicom.dcmread(path).RescaleIntercept == -9999
    assert "cannot be read" in refusal(read_volume, ct)


def test_an_item_ends_with_its_sequence(ct):
    path = ct.parent / "rs.dcm"
    whole, volume = path.read_bytes(), read_volume(ct)
    places = elements(whole)
    end = next(start for tag, start, _, _ in places if tag == 0x30060039)  # ROIContourSequence
    at = [start for tag, start, _, _ in places if tag == 0xFFFEE000 and start < end][-1] + 4
    longer = int.from_bytes(whole[at : at + 4], "little") + len(whole) - end
    path.write_bytes(whole[:at] + longer.to_bytes(4, "little") + whole[at + 4 :])
    assert "cannot be read" in refusal(read_mask, path, "lesion", volume)


def test_a_contour_has_as_many_points_as_it_states(ct):
    def drop(dataset):
        contour = dataset.ROIContourSequence[0].ContourSequence[0]
        contour.ContourData = contour.ContourData[:9]

    path, volume = ct.parent / "rs.dcm", read_volume(ct)
    path.write_bytes(rewrite(path.read_bytes(), drop))
    assert "another number of points" in refusal(read_mask, path, "lesion", volume)


@pytest.mark.parametrize(("tag", "value"), [("Rows", 15), ("Columns", 13), ("BitsAllocated", 8)])
def test_pixels_that_the_header_leaves_over_are_no_end_of_the_image(ct, tag, value):
    for path in ct.iterdir():
        path.write_bytes(rewrite(path.read_bytes(), lambda dataset: setattr(dataset, tag, value)))
    assert "contradict" in refusal(read_volume, ct)


@pytest.mark.parametrize("name", ["binary", "labelmap"])
def test_frames_of_a_segmentation_that_the_header_leaves_over(ct, name):
    path, volume = ct.parent / f"{name}.dcm", read_volume(ct)
    path.write_bytes(rewrite(path.read_bytes(), lambda dataset: setattr(dataset, "Rows", 12)))
    assert "contradict" in refusal(read_mask, path, "lesion", volume)


def test_a_damaged_slice_is_not_left_out_because_a_series_is_named(ct):
    assert read_volume(ct, SERIES).image.GetSize()[2] == SHAPE[0]
    for path in (ct / "001.dcm", ct / "004.dcm"):  # the ends of the stack
        whole = path.read_bytes()
        path.write_bytes(rewrite(whole, lambda dataset: delattr(dataset, "SeriesInstanceUID")))
        assert "1 image(s) in the folder lack SeriesInstanceUID" in refusal(read_volume, ct, SERIES)
        path.write_bytes(whole)


@pytest.mark.parametrize("where", ELSEWHERE)
@pytest.mark.parametrize("field", ["data file: ", "datafile: ", "DATA FILE: ", "data file:", "Data file:="])
def test_no_values_come_from_another_file(tmp_path, field, where):
    scan = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    (tmp_path / "secret.raw").write_bytes(scan.tobytes())
    head, values = nrrd(scan).split(b"\n\n", 1)
    path = tmp_path / "data" / "a.nrrd"
    path.parent.mkdir()
    shutil.copy(tmp_path / "secret.raw", path.parent)
    line = f"\n{field}{where.replace('SECRET', str(tmp_path / 'secret.raw'))}".encode()
    path.write_bytes(head + line + b"\n\n" + values)
    assert "keeps its values in another file" in refusal(read_volume, path)
    path.write_bytes(head + line + b"\n")
    assert refusal(read_volume, path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": "14 16 3"}, "cannot be read"),  # a slice left over
        ({"sizes": "7 16 4"}, "cannot be read"),
        ({"space directions": None}, "how large its voxels are"),  # ITK takes 1 mm
        ({"space directions": None, "space": None, "space origin": None}, "how large its voxels are"),
        ({"space": "scanner-xyz"}, "how its axes lie"),
        ({"space directions": "(0.7,0,0) (0,0.8,0) (0,0.6,2.4)"}, "right angles"),
        ({"space directions": "(inf,0,0) (0,0.8,0) (0,0,2.5)"}, "cannot be read"),
        ({"encoding": "hex"}, "other way than raw or gzip"),
        ({"byte skip": "-1"}, "before its values"),
        ({"lineskip": "1"}, "before its values"),
    ],
)
def test_nrrd_headers_from_which_itk_guesses(tmp_path, changes, words):
    scan = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    (tmp_path / "a.nrrd").write_bytes(nrrd(scan, changes=changes))
    assert words in refusal(read_volume, tmp_path / "a.nrrd")


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_what_was_cut_off_a_nifti_file_is_not_zero(tmp_path, suffix):
    scan = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    whole = gzip.compress(nifti(scan)) if suffix == "nii.gz" else nifti(scan)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole)
    assert read_volume(path).image.GetSize() == SHAPE[::-1]
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert "cannot be read" in refusal(read_volume, path)


@pytest.mark.parametrize(
    ("at", "kind", "value", "words"),
    [
        (46, "<h", 3, "cannot be read"),  # a slice left over
        (88, "<f", 7.5, "two different voxel sizes"),  # pixdim against sform
        (80, "<f", -0.7, "cannot be read"),
        (112, "<f", float("nan"), "scale of the values"),
        (108, "<f", 350, "cannot be read"),
        (344, "4s", b"ni1\0", "header and values together"),
        (344, "4s", b"\0\0\0\0", "header and values together"),
        (280, "<f", float("nan"), "cannot be read"),
    ],
)
def test_nifti_headers_that_contradict_themselves(tmp_path, at, kind, value, words):
    content = bytearray(nifti(np.zeros(SHAPE, np.int16)))
    struct.pack_into(kind, content, at, value)
    (tmp_path / "a.nii").write_bytes(content)
    (tmp_path / "a.img").write_bytes(content[352:])
    assert words in refusal(read_volume, tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "seg.nrrd"])
def test_a_file_of_another_format_is_not_read_by_the_rules_of_that(good_inputs, tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(good_inputs["enhanced"].files["enhanced.dcm"])
    assert sitk.ReadImage(path).GetSize() == SHAPE[::-1]  # by GDCM
    assert refusal(read_volume, path)


@pytest.mark.parametrize(
    "name", ["x" * 300, "x" * 300 + ".nrrd", "x" * 300 + ".nii.gz", "a\0b", "a\0b.nrrd", "loop/loop"]
)
def test_paths_that_no_file_can_have(ct, name):
    (ct.parent / "loop").symlink_to("loop")
    volume = read_volume(ct)
    for read in (lambda path: read_volume(path), lambda path: read_mask(path, None, volume), list_segments):
        assert "does not exist" in refusal(read, ct.parent / name)


# --- names that files give ---------------------------------------------------------------------------------------


HOSTILE_NAMES = ["../../x", "/etc/x", "a\nb", "a\\b", "Ärzte 肝", "x" * 300, "con", "-rf", "a,b;c", "$(x)", "a\x07b"]


def described(name):
    """What 3D Slicer writes of a single segment."""
    return {"Segment0_ID": "S", "Segment0_Name": name, "Segment0_LabelValue": "1", "Segment0_Layer": "0"}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_of_segments_select_them_and_name_no_file(ct, tmp_path, name):
    def rename(dataset):
        dataset.StructureSetROISequence[0].ROIName = name

    path = ct.parent / "rs.dcm"
    path.write_bytes(rewrite(path.read_bytes(), lambda dataset: rename(dataset)))
    (ct.parent / "m.seg.nrrd").write_bytes(nrrd(LESION, described(name.replace("\n", " "))))
    for file in ("rs.dcm", "m.seg.nrrd"):
        listed = list_segments(ct.parent / file)
        segment = next(iter(listed.values()))
        good = Good({}, "ct", file, segment)
        row, folder = run(good, tmp_path / "one" / file, data=ct.parent)
        check_written(row, folder, tmp_path)
        assert row["status"] == "included"
        good = Good({}, "ct", file, f"{segment}?")
        row, folder = run(good, tmp_path / "two" / file, data=ct.parent)
        assert row["status"] == "excluded"
        check_reason(row["reason"].replace(segment, ""), tmp_path)


def test_names_in_a_reason_are_few_and_tell_nothing_of_the_patient(ct):
    def name(dataset):
        dataset.StructureSetROISequence[0].ROIName = "GTV Jane"
        dataset.StructureSetROISequence[1].ROIName = "1.2.826.0.1.3680043.8.498.1"

    volume, path = read_volume(ct), ct.parent / "rs.dcm"
    path.write_bytes(rewrite(path.read_bytes(), name))
    reason = refusal(read_mask, path, "lesion", volume)
    assert "there are: '(withheld)' (number 1), '(withheld)' (number 2)" in reason
    many = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    (ct.parent / "many.nrrd").write_bytes(nrrd(many))
    reason = refusal(read_mask, ct.parent / "many.nrrd", None, volume)
    assert "holds 895 segments" in reason
    assert "'20' (number 20) and 875 more" in reason


@pytest.mark.parametrize(
    ("file", "tag", "words"),
    [
        ("binary.dcm", "Modality", "no known modality"),
        ("binary.dcm", "SegmentationType", "neither binary"),
        ("rs.dcm", "ContourGeometricType", "an unknown kind"),
    ],
)
def test_codes_that_may_be_anything_are_not_repeated(ct, file, tag, words):
    def edit(dataset):
        for element in list(dataset.iterall()):
            if element.keyword == tag:
                element.value = "DOE JANE"

    volume, path = read_volume(ct), ct.parent / file
    path.write_bytes(rewrite(path.read_bytes(), edit))
    reason = refusal(read_mask, path, "lesion", volume)
    assert words in reason
    assert "JANE" not in reason


# --- names that tables give --------------------------------------------------------------------------------------


STUDY = {"unit": "lesion", "variables": {}, "stability": {"readings": {"reference": "r1"}}}
HOSTILE_IDENTIFIERS = [
    "../../x", "a/b", "..", "a b", "Müller", "肝", "a\0b", "x" * 65, "x" * 300, "CON", "nul", "Com1", "a\\b", "a:b",
    "$(x)", "a\tb", "a\nb", "NULL", "nan", "a'b", "{patient}", "*", "a%b", "~",
]  # fmt: skip


def check_tables(folder, patient="p1", phase="venous", region="l1", rater="r1"):
    (folder / "data").mkdir(exist_ok=True)
    for name in ("image.nrrd", "mask.nrrd"):
        (folder / "data" / name).touch()
    for name, rows in (
        ("patients", [["patient"], [patient]]),
        ("cases", [["patient", "phase", "region", "rater", "image", "series", "segmentation", "segment"],
                   [patient, phase, region, rater, "image.nrrd", "", "mask.nrrd", "1"]]),
    ):  # fmt: skip
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return read_cohort(folder / "patients.csv", None, folder / "cases.csv", folder / "data", STUDY, SCHEMAS)


def test_identifiers_of_64_letters_make_files(good_inputs, tmp_path):
    longest = {name: name[0] * 64 for name in ("patient", "phase", "region")}
    cohort = check_tables(tmp_path, **longest)
    assert cohort.cases[["patient", "phase", "region"]].to_dict("records") == [longest]
    good = good_inputs["slicer"]
    for path, content in good.files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    case = CASE | longest | {"rater": "r" * 64, "image": "ct", "segmentation": good.segmentation, "segment": "lesion"}
    rule = {"kind": "ring", "of": "*", "width_mm": 3}
    settings = SETTINGS | {"regions": {"x" * LONGEST_IN_STUDY: rule}}
    import_patient([case], tmp_path, tmp_path / "out", settings, "r" * 64, strict=True)
    assert max(len(path.name) for path in (tmp_path / "out").iterdir()) == 3 * 64 + 2 + 1 + LONGEST_IN_STUDY + 7


def test_names_in_a_study_leave_room_in_file_names():
    schema = read_schema(SCHEMAS, "study")["$defs"]["identifier"]
    assert schema["maxLength"] == LONGEST_IN_STUDY
    assert list(violations("x" * 41, schema, "study.yaml")) == [
        f"study.yaml: '{'x' * 36}... is longer than {LONGEST_IN_STUDY} characters"
    ]
    assert not list(violations("x" * 40, schema, "study.yaml"))


@pytest.mark.parametrize("column", ["patient", "phase", "region", "rater"])
@pytest.mark.parametrize("text", HOSTILE_IDENTIFIERS)
def test_hostile_identifiers_are_refused_and_not_repeated(tmp_path, column, text):
    if (column, text) == ("patient", ".."):
        return  # it is rewritten, like any point or "_" in a patient's name
    with pytest.raises(InputError) as caught:
        check_tables(tmp_path, **{column: text})
    sentences = str(caught.value)
    assert re.search(
        f"cases.csv, row 2, column '{column}': .*(identifier|character)|row 2: the entry for '{column}' is missing",
        sentences,
    )
    if text not in READ_AS_MISSING:
        assert text not in sentences.replace("identifier", "")


@pytest.mark.parametrize("text", ["x" * 300, "a\0b", "x/" * 200, "../secret", "/etc/passwd", "a\\b"])
def test_hostile_paths_in_tables_are_refused(tmp_path, text):
    check_tables(tmp_path)
    cases = (tmp_path / "cases.csv").read_text().replace("image.nrrd", text)
    (tmp_path / "cases.csv").write_text(cases)
    with pytest.raises(InputError, match=r"cases\.csv, row 2, column 'image': ") as caught:
        read_cohort(tmp_path / "patients.csv", None, tmp_path / "cases.csv", tmp_path / "data", STUDY, SCHEMAS)
    assert text not in str(caught.value)


@pytest.mark.parametrize("name", ["肝", "x" * 65, "con", "Müller/../x"])
def test_a_listing_makes_identifiers_or_refuses(ct, name):
    data = ct.parent / "listed"
    shutil.copytree(ct, data / "p1" / "ct")
    (data / "p1" / "m.seg.nrrd").write_bytes(nrrd(LESION, described(name)))
    arguments = data, "{patient}/ct", "{patient}/m.seg.nrrd", {"phase": "venous", "rater": "r1"}
    if name.endswith("/x"):
        assert list_cases(*arguments)[0]["region"].tolist() == ["Muller-x"]
    else:
        with pytest.raises(InputError, match="cannot be made identifiers"):
            list_cases(*arguments)


# --- privacy -----------------------------------------------------------------------------------------------------


PERSON = {"PatientName": "Doe^Jane", "OtherPatientNames": "Roe^Janet", "PatientID": "MRN-4711",
          "PatientBirthDate": "1950-01-31", "AccessionNumber": "ACC9912", "ReferringPhysicianName": "Houselike^Gregory",
          "InstitutionName": "Princetown General", "PatientComments": "wife of John Doe",
          "PatientAddress": "Elm Street 7",
          "OperatorsName": "Tekk^Nick", "DeviceSerialNumber": "SN77123", "PatientBirthTime": "061233"}  # fmt: skip
PRIVATE = ["Doe", "Jane", "Roe", "4711", "1950", "19500131", "ACC9912", "Houselike", "Princetown", "Elm Street", "Tekk",
           "SN77123", "061233"]  # fmt: skip
PARAMETERS = {
    "imageType": {"Original": {}},
    "featureClass": {"firstorder": [], "shape": []},
    "setting": {"binWidth": 25},
}
PERSONAL_CASES = [
    ("ct", "ct", "rs.dcm", "lesion"), ("ct", "ct", "binary.dcm", "lesion"), ("ct", "ct", "labelmap.dcm", "lesion"),
    ("ct", "ct", "fractional.dcm", "none such"), ("ct", "ct", "lost.dcm", ""), ("ct", "ct", "binary.dcm", ""),
    ("pet", "pet", "rs.dcm", "lesion"), ("enhanced", "enhanced.dcm", "rs.dcm", "lesion"),
    ("enhanced", "enhanced.dcm", "named.dcm", "lesion"), ("refused", "mixed", "rs.dcm", "lesion"),
]  # fmt: skip


@pytest.fixture
def personal_data(good_inputs, tmp_path):
    """Inputs that name a person and their instances wherever they can, and all UIDs in them."""
    data, uids = tmp_path / "data", set()
    files = {path: content for good in good_inputs.values() for path, content in good.files.items() if "dcm" in path}
    files |= {"named.dcm": files["rs.dcm"]}
    files |= {f"mixed/{number}.dcm": files[path] for number, path in enumerate(("ct/001.dcm", "pet/001.dcm"))}
    for path, content in files.items():

        def edit(dataset, path=path):
            for tag, value in PERSON.items():
                setattr(dataset, tag, value)
            if path == "named.dcm":
                dataset.StructureSetROISequence[0].ROIName = "GTV of Jane Doe, 1950-01-31"
            uids.update(str(element.value) for element in dataset.iterall() if element.VR == "UI")

        (data / path).parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the birth date is written as DICOM does not allow
            (data / path).write_bytes(rewrite(content, edit))
    return data, sorted(uid for uid in uids if not uid.startswith("1.2.840.10008"))


def test_nothing_that_is_written_names_the_patient(personal_data, tmp_path, capfd):
    data, uids = personal_data
    assert len(uids) > 10
    study = tmp_path / "results" / "study"
    folder = study / "images" / "development" / "p1"
    cases = [
        CASE | {"phase": phase, "region": f"l{number}", "image": image, "segmentation": drawn, "segment": segment}
        for number, (phase, image, drawn, segment) in enumerate(PERSONAL_CASES)
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import_patient(cases, data, folder, SETTINGS, "r1", strict=False)
        features, failures = extract_patient(folder, PARAMETERS)
        write_records(features, study / "features" / "p1.csv", columns=[])
        write_records(failures, study / "features" / "p1_failures.csv", columns=[])
        for name in ("cases", "readings"):
            shutil.copy(folder / f"{name}.csv", folder.parent)
        settings = {"title": "Study", "cohorts": {"development": {}}}
        page = render_gallery(settings, read_results([folder.parent], study), TEMPLATES)
    (study / "gallery.html").write_text(page, encoding="utf-8")
    table = read_table(folder / "cases.csv")
    assert table["status"].value_counts().to_dict() == {"included": 5, "excluded": 5}
    assert len(features) == 5
    assert len(re.findall("base64,", page)) == 5
    for path in study.rglob("*"):
        for content in readable_parts(path) if path.is_file() else []:
            for secret in (*PRIVATE, *uids, "1.2.826", str(tmp_path)):
                assert secret.encode() not in content, f"{secret} in {path.name}"
    log = capfd.readouterr()
    for secret in PRIVATE:
        assert secret not in log.out + log.err + " ".join(str(warning.message) for warning in caught)


def readable_parts(path):
    """The bytes of a file, and those that it holds packed: values, texts in pictures, pictures in pages."""
    content = path.read_bytes()
    yield content
    if path.suffix == ".gz":
        yield gzip.decompress(content)
    pictures = [content] if path.suffix == ".png" else []
    if path.suffix == ".html":
        pictures = [base64.b64decode(text) for text in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)]
    for picture in pictures:
        opened = Image.open(io.BytesIO(picture))
        opened.load()
        yield repr(opened.info).encode()
        assert set(opened.info) <= {"transparency", "dpi"}
