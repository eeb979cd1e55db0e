import shutil

import gdcm
import jpeg_ls
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from images_files import ct_slice, refusal, write_dataset, write_series
from nenflow.images import pixels
from nenflow.images.dicom import read_header
from nenflow.images.pixels import read_slice, read_stored
from nenflow.images.volumes import read_volume

BY_GDCM = {
    JPEGLossless: "JPEGLosslessProcess14",
    JPEGLosslessSV1: "JPEGLosslessProcess14_1",
    JPEGLSLossless: "JPEGLSLossless",
    JPEG2000Lossless: "JPEG2000Lossless",
    RLELossless: "RLELossless",
    ExplicitVRBigEndian: "ExplicitVRBigEndian",
}
BY_PYDICOM = (JPEGLSLossless, RLELossless)


def stored_values(bits, signed, shape=(3, 12, 10)):
    """Noise over all values that the bits can hold, the smallest and the largest among them."""
    lowest = -(2 ** (bits - 1)) if signed else 0
    values = np.random.default_rng([bits, signed]).integers(lowest, lowest + 2**bits, shape)
    values[0, 0, :2] = lowest, lowest + 2**bits - 1
    return values


def write_stored(folder, values, bits, signed):
    for number, plane in enumerate(values):
        tags = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": signed}
        pixels = plane.astype("<i2" if signed else "<u2").tobytes()
        write_dataset(ct_slice(plane, number, **tags, PixelData=pixels), folder / f"{number}.dcm", CTImageStorage)


def compress(folder, syntax):
    for file in folder.iterdir():
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(file))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, BY_GDCM[syntax])))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(file))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()


def check(folder, syntax, values):
    assert {pydicom.dcmread(file).file_meta.TransferSyntaxUID for file in folder.iterdir()} == {syntax}
    volume = read_volume(folder)
    assert np.array_equal(sitk.GetArrayFromImage(volume.image), values - 1024)
    assert volume.tags["notes"] == []


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(("bits", "signed"), [(8, 0), (8, 1), (12, 0), (12, 1), (16, 0), (16, 1)])
def test_values_that_are_not_compressed_are_read_where_they_lie(tmp_path, monkeypatch, syntax, bits, signed):
    plane = stored_values(bits, signed, (1, 5, 3))[0]
    size = 8 if bits == 8 else 16
    content = plane.astype(f"<{'ui'[signed]}{size // 8}").tobytes()
    tags = {"BitsAllocated": size, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": signed}
    dataset = ct_slice(plane, 0, **tags, PixelData=content + bytes(len(content) % 2))
    icon = pydicom.Dataset()
    icon.PixelData = bytes(30)
    dataset.IconImageSequence = [icon]
    dataset["PixelData"].VR = icon["PixelData"].VR = "OB" if size == 8 else "OW"
    write_dataset(dataset, tmp_path / "0.dcm", CTImageStorage, syntax)
    as_pydicom_reads = read_stored(tmp_path / "0.dcm")
    monkeypatch.setattr(pixels, "read_stored", None)
    stored = read_slice(tmp_path / "0.dcm", *read_header(tmp_path / "0.dcm"))
    assert stored.dtype == as_pydicom_reads.dtype
    np.testing.assert_array_equal(stored, as_pydicom_reads)
    np.testing.assert_array_equal(stored[0], plane)


@pytest.mark.parametrize(("bits", "signed"), [(12, 0), (12, 1), (13, 1), (16, 0), (16, 1)])
@pytest.mark.parametrize("syntax", BY_GDCM, ids=lambda syntax: syntax.keyword)
def test_what_gdcm_compressed_without_loss_keeps_every_value(tmp_path, syntax, bits, signed):
    values = stored_values(bits, signed)
    write_stored(tmp_path, values, bits, signed)
    compress(tmp_path, syntax)
    check(tmp_path, syntax, values)


@pytest.mark.parametrize(("bits", "signed"), [(12, 1), (16, 0), (16, 1)])
@pytest.mark.parametrize("syntax", [*BY_PYDICOM, DeflatedExplicitVRLittleEndian], ids=lambda syntax: syntax.keyword)
def test_what_pydicom_compressed_without_loss_keeps_every_value(tmp_path, syntax, bits, signed):
    values = stored_values(bits, signed)
    write_stored(tmp_path, values, bits, signed)
    for file in tmp_path.iterdir():
        dataset = pydicom.dcmread(file)
        if syntax in BY_PYDICOM:
            dataset.compress(syntax)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(file)
    check(tmp_path, syntax, values)


def retag(folder, **tags):
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        for tag, value in tags.items():
            setattr(dataset, tag, value)
        dataset.save_as(file)


def encode_lossless_jpeg(plane, bits):
    """Lossless JPEG of one plane by the first predictor (ITU-T T.81, annex H), each category a code of five bits."""
    guess = np.empty_like(plane)
    guess[0, 0], guess[0, 1:], guess[1:, 0], guess[1:, 1:] = (
        2 ** (bits - 1),
        plane[0, :-1],
        plane[:-1, 0],
        plane[1:, :-1],
    )
    stream = ""
    for difference in np.ravel(plane - guess).tolist():
        category = abs(difference).bit_length()
        stream += f"{category:05b}"
        if category:
            stream += f"{difference if difference > 0 else difference + 2**category - 1:0{category}b}"
    stream += "1" * (-len(stream) % 8)
    data = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    frame = bytes([0xFF, 0xC3, 0, 11, bits]) + np.array(plane.shape, ">u2").tobytes() + bytes([1, 1, 0x11, 0])
    table = bytes([0xFF, 0xC4, 0, 19 + 17, 0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    scan = bytes([0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 0, 0])
    return b"\xff\xd8" + frame + table + scan + data + b"\xff\xd9"


def encode_jpeg_ls(plane, bits):
    image = {"rows": plane.shape[0], "columns": plane.shape[1], "samples_per_pixel": 1, "bits_stored": bits}
    return jpeg_ls.encode_pixel_data(plane.astype("<u2").tobytes(), **image)


@pytest.mark.parametrize("bits", [12, 13])
@pytest.mark.parametrize(
    ("syntax", "encode"), [(JPEGLosslessSV1, encode_lossless_jpeg), (JPEGLSLossless, encode_jpeg_ls)]
)
def test_negative_values_that_were_compressed_as_positive_ones(tmp_path, syntax, encode, bits):
    # Neither JPEG nor JPEG-LS knows signs: the codestream holds 13 bits, of which the header says that one is the sign.
    values = stored_values(bits, 1)
    for number, plane in enumerate(values):
        tags = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 1}
        dataset = ct_slice(plane, number, **tags, PixelData=encapsulate([encode(plane & (2**bits - 1), bits)]))
        dataset["PixelData"].VR = "OB"
        write_dataset(dataset, tmp_path / f"{number}.dcm", CTImageStorage, syntax)
    check(tmp_path, syntax, values)
    # With 16 bits in the header, 13 bits can mean 0 to 8191 or -4096 to 4095.
    retag(tmp_path, BitsStored=16, HighBit=15)
    assert "contradict its header" in refusal(read_volume, tmp_path)


def test_codestream_of_a_real_scanner_that_disagrees_about_the_sign(test_data, tmp_path):
    # Padding is -2000; read unsigned, as its codestream says, it would be 6192 (13 bits).
    source = test_data / "edge" / "compressed" / "J2K_pixelrep_mismatch.dcm"
    assert read_stored(source).min() == -2000
    shutil.copy(source, tmp_path)
    retag(tmp_path, BitsStored=16, HighBit=15)
    assert "contradict its header" in refusal(read_stored, tmp_path / source.name)


def test_positive_values_that_were_compressed_with_sign(tmp_path):
    write_stored(tmp_path, stored_values(16, 1), 16, 1)
    compress(tmp_path, JPEG2000Lossless)
    retag(tmp_path, PixelRepresentation=0)
    assert "contradict its header" in refusal(read_volume, tmp_path)


@pytest.mark.parametrize(
    "tags",
    [
        {"BitsStored": 12, "HighBit": 11},  # graphics in the upper bits, or a wrong header: 4096 may be 0
        {"HighBit": 12},
        {"BitsStored": 13, "HighBit": 12, "PixelRepresentation": 1},  # filled with zeros, not with the sign
    ],
)
def test_bits_that_the_header_does_not_know_are_refused(tmp_path, tags):
    values = np.full((3, 12, 10), 4096 + 4)
    write_stored(tmp_path, values, 16, 0)
    assert read_stored(tmp_path / "0.dcm").max() == 4100
    retag(tmp_path, **tags)
    assert "contradict its header" in refusal(read_volume, tmp_path)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_damaged_compressed_slices_are_refused(tmp_path, syntax):
    write_stored(tmp_path, stored_values(12, 0), 12, 0)
    compress(tmp_path, syntax)
    file = tmp_path / "1.dcm"
    whole = file.read_bytes()
    file.write_bytes(whole[:-120])
    assert "cannot be read" in refusal(read_volume, tmp_path)
    file.write_bytes(whole)
    dataset = pydicom.dcmread(file)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    dataset.save_as(file)
    assert "cannot be decoded" in refusal(read_volume, tmp_path)


def test_loss_is_noted(tmp_path):
    def notes(folder, **tags):
        return read_volume(write_series(tmp_path / folder, **tags)).tags["notes"]

    assert notes("a") == []
    assert notes("b", LossyImageCompression="00") == []
    assert notes("c", LossyImageCompression="01") == ["The image was compressed with loss, which changes its textures."]


def test_a_syntax_that_may_lose_is_noted_unless_the_header_denies_it(test_data, tmp_path):
    source = test_data / "edge" / "compressed" / "693_J2KI.dcm"

    def notes(flag):
        for number in range(3):
            dataset = pydicom.dcmread(source)
            dataset.ImagePositionPatient = [0, 0, 5 * number]
            dataset.LossyImageCompression = flag
            dataset.save_as(tmp_path / f"{number}.dcm")
        return read_volume(tmp_path).tags["notes"]

    assert ["was compressed with loss" in note for note in notes("01")] == [True]
    assert ["may have been compressed" in note for note in notes("")] == [True]
    assert notes("00") == []
