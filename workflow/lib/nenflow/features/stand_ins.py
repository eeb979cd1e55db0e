"""When code of ours may stand in for slow parts of pyradiomics, and how it is put there.

Nothing of pyradiomics is changed: a function that is to call ours is copied with other globals, so that pyradiomics
itself, used beside, goes on as it is.
"""

import platform
import types
from collections.abc import Callable
from typing import Any

import radiomics
import SimpleITK as sitk

# Stand-ins give the same values to the last bit as these versions. On other processors than x86-64 compilers join
# multiplications with additions, which rounds otherwise.
TESTED = {"radiomics": "v3.1.4", "SimpleITK": "2.5.7", "processor": ("x86_64", "amd64")}


def trusted() -> bool:
    """Whether stand-ins were tested with what is installed; else pyradiomics' own code has to run, slowly."""
    return (
        radiomics.__version__ == TESTED["radiomics"]
        and sitk.Version.VersionString() == TESTED["SimpleITK"]
        and platform.machine().lower() in TESTED["processor"]
    )


def calling(function: Callable, **stand_ins: Any) -> Callable:
    """A copy of a function that finds `stand_ins` where the function finds names of its module."""
    return types.FunctionType(
        function.__code__, {**function.__globals__, **stand_ins}, function.__name__, function.__defaults__
    )
