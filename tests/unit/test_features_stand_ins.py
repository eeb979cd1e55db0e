import math
import platform
import re
import statistics

import pytest

from nenflow.features import stand_ins
from nenflow.features.stand_ins import TESTED, calling, trusted

X86 = platform.machine().lower() in TESTED["processor"]


@pytest.mark.skipif(not X86, reason="stand-ins are for x86-64 processors")
def test_the_tested_versions_are_those_of_the_environment(pytestconfig):
    locked = (pytestconfig.rootpath / "envs" / "requirements.txt").read_text()
    assert re.search(r"^pyradiomics-bhklab==(\S+)", locked, re.M)[1] == TESTED["radiomics"].removeprefix("v")
    assert re.search(r"^simpleitk==(\S+)", locked, re.M)[1] == TESTED["SimpleITK"]
    assert trusted()


@pytest.mark.parametrize("changed", [{"radiomics": "v3.2.0"}, {"SimpleITK": "2.6.0"}, {"processor": ("arm64",)}])
def test_nothing_else_is_trusted(changed, monkeypatch):
    monkeypatch.setattr(stand_ins, "TESTED", TESTED | changed)
    assert not trusted()


def test_a_copy_calls_the_stand_in_and_the_function_itself_does_not():
    copy = calling(statistics.correlation, sqrt=lambda value: 2 * math.sqrt(value))
    x, y = [1, 2, 3, 5], [2, 1, 4, 3]
    assert copy(x, y) == pytest.approx(statistics.correlation(x, y) / 2)
