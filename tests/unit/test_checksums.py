import os
import subprocess

from nenflow.checksums import content_mark, file_digest, joint_digest

# FIPS 180-2, appendix B.1: the digest of the three letters abc.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_has_the_digest_of_the_standard(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file") == ABC


def test_a_file_of_another_date_has_the_same_content_and_a_lost_one_none(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    os.utime(tmp_path / "file", (0, 0))
    assert content_mark(str(tmp_path / "file")) == ABC
    assert content_mark(str(tmp_path / "lost")) is None


def test_a_large_file_is_told_from_another_by_size_and_time(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**30)
    os.utime(tmp_path / "large", (1, 1))
    assert content_mark(str(tmp_path / "large")) == (2**30, 10**9)


def test_many_files_have_the_digest_that_the_shell_gives_their_sorted_digests(tmp_path):
    for number, name in enumerate(["b.dcm", "a.dcm", "c.dcm"]):
        (tmp_path / name).write_bytes(bytes([number]) * 1000)
    command = "sha256sum * | cut -c1-64 | LC_ALL=C sort | sha256sum | cut -c1-64"
    shell = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert joint_digest([tmp_path]) == {"files": 3, "sha256": shell.stdout.strip()}


def test_names_folders_and_order_do_not_count_and_content_does(tmp_path):
    series, other = tmp_path / "series", tmp_path / "other"
    series.mkdir()
    other.mkdir()
    for folder, names in ((series, "ab"), (other, "yx")):
        for name, content in zip(names, (b"one", b"two"), strict=True):
            (folder / name).write_bytes(content)
    (series / ".DS_Store").write_bytes(b"hidden")
    (series / "deeper").mkdir()
    same = joint_digest([series])
    assert same == joint_digest([other]) == joint_digest([other / "x", tmp_path / "lost", other / "y"])
    (other / "x").write_bytes(b"three")
    assert joint_digest([other])["sha256"] != same["sha256"]
