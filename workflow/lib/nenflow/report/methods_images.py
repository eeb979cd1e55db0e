"""What the methods text says of patients, images, features and their stability: a sentence where a study does it."""

from collections.abc import Mapping, Sequence
from typing import Any

from nenflow.report.wording import count, listed
from nenflow.study import imports_features

_CLASSES = {
    "shape": "shape", "shape2D": "two-dimensional shape", "firstorder": "first-order statistics",
    "glcm": "grey level co-occurrence matrix (GLCM)", "glrlm": "grey level run length matrix (GLRLM)",
    "glszm": "grey level size zone matrix (GLSZM)", "gldm": "grey level dependence matrix (GLDM)",
    "ngtdm": "neighbouring grey tone difference matrix (NGTDM)",
}  # fmt: skip
_INTERPOLATORS = {"sitkBSpline": "cubic B-spline", "sitkLinear": "linear", "sitkNearestNeighbor": "nearest-neighbour"}
_MODALITIES = {"CT": "computed tomography (CT)", "PT": "positron emission tomography (PET)",
               "MR": "magnetic resonance imaging (MRI)"}  # fmt: skip
_TOLD = {"interpolator", "resampledPixelSpacing", "binWidth", "binCount", "resegmentRange", "resegmentMode",
         "removeOutliers", "force2D", "normalize", "symmetricalGLCM", "distances", "gldm_a",
         "weightingNorm"}  # fmt: skip
_HOW = {
    "largest": "those of the largest region",
    "mean": "their mean",
    "volume-weighted": "their mean weighted by volume",
}
_KINDS = {"ring": "a ring around", "union": "the union of", "rest": "what is left of"}


def cohort_sentences(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """Who was analysed, and what the outcome is."""
    sentences = []
    for cohort in study["cohorts"]:
        flow = results.get(f"cohort/{cohort}/flow.csv")
        if flow is None:
            continue
        simulated = "simulated " if "simulation" in study["cohorts"][cohort] else ""
        last = flow.iloc[-1]
        lesions = f" with {count(last['lesions'], 'lesion')}" if study["unit"] == "lesion" else ""
        sentences.append(
            f"The {cohort} cohort comprised {count(last['patients'], f'{simulated}patient')}{lesions} after exclusions."
        )
    sentences.append(f"The unit of analysis was the {study['unit']}.")
    for settings in study["endpoints"].values():
        variable = study["variables"][settings["variable"]]
        others = [level for level in variable["levels"] if level not in (settings["event"], settings.get("competing"))]
        told = f"“{settings['event']}” ({variable['label']})"
        if "time" not in settings:
            sentences.append(f"The outcome was {told}, compared with “{listed(others)}”.")
            continue
        label = study["variables"][settings["time"]]["label"]
        words = f"The time-to-event outcome was {told}; follow-up was measured as “{label}”"
        competing = settings.get("competing")
        sentences.append(words + (f", with “{competing}” as a competing event." if competing else "."))
    return sentences


def image_sentences(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """How images and segmentations were read and checked; none in a study without images."""
    if "images" not in study or imports_features(study):
        return []
    images, readings = study["images"], study["stability"]["readings"]
    sentences = acquisition_sentences(results)
    dicom = "DICOM series were read with pydicom [@Mason2011] and" if tag_values(results, "Modality") else "Images were"
    sentences += [
        f"{dicom} converted to de-identified NIfTI volumes with SimpleITK [@Lowekamp2013]; segmentations were read "
        "with highdicom [@Bridge2022] (DICOM SEG) or SimpleITK and placed on the grid of their image.",
        f"The segmentations of the rater “{readings['reference']}” were analysed; regions smaller than "
        f"{images['minimum_volume_mm3']:g} mm³ were excluded, and every region was checked automatically for its "
        "position, size, parts and intensities.",
    ]
    if any(content.get("unit") == "SUV" for content in scans(results)):
        sentences.append(
            "PET activity concentrations were converted to standardised uptake values by body weight with the decay "
            "correction that the DICOM header states."
        )
    for name, rule in images.get("regions", {}).items():
        width = f" of {rule['width_mm']:g} mm" if "width_mm" in rule else ""
        without = f" without {listed(rule['without'])}" if "without" in rule else ""
        inside = f", cut to {rule['inside']}" if "inside" in rule else ""
        kind = _KINDS[rule["kind"]].replace("ring", f"ring{width}")
        sentences.append(f"The region “{name}” was computed as {kind} “{rule['of']}”{without}{inside}.")
    if "aggregate" in images:
        how = _HOW[images["aggregate"]]
        sentences.append(f"Features of the regions “{images['analysed']}” of a patient were combined: {how}.")
    sentences += _measured(study)
    return sentences


def scans(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is known of how each scan was made."""
    return [
        content
        for name, content in results.items()
        if name.startswith("images/") and name.endswith(".json") and isinstance(content, dict)
    ]


def tag_values(results: Mapping[str, Any], tag: str) -> list[Any]:
    """The different values of a tag over all scans, sorted; numbers before texts."""
    found: set[Any] = set()
    for content in scans(results):
        value = content.get(tag)
        found.update(value if isinstance(value, list) else [] if value is None else [value])
    return sorted(found, key=lambda value: (isinstance(value, str), value))


def slice_spacings(results: Mapping[str, Any]) -> list[float]:
    """The distances between slices (mm) of all scans, to a hundredth, sorted."""
    return sorted({round(content["spacing_mm"][2], 2) for content in scans(results) if "spacing_mm" in content})


def acquisition_sentences(results: Mapping[str, Any]) -> list[str]:
    """How scans were made, as far as their headers say."""
    modalities = [_MODALITIES.get(name, name) for name in tag_values(results, "Modality")]
    if not modalities:
        return []
    if any(content.get("simulated") for content in scans(results)):
        start = f"Images were simulated as {listed(modalities)}"
    else:
        makers = tag_values(results, "Manufacturer")
        start = f"Images were acquired by {listed(modalities)}" + (
            f" on scanners of {listed(makers)}" if makers else ""
        )
    parts = [start]
    parts += [f"at a tube voltage of {_range(tag_values(results, 'KVP'), 'kV')}"] if tag_values(results, "KVP") else []
    if thickness := tag_values(results, "SliceThickness"):
        spacings = slice_spacings(results)
        apart = f" and {_range(spacings, 'mm')} apart" if spacings else ""
        parts.append(f"with slices {_range(thickness, 'mm')} thick{apart}")
    if kernels := tag_values(results, "ConvolutionKernel"):
        parts.append(f"with the reconstruction kernels {listed(kernels)}")
    if uptake := tag_values(results, "uptake_minutes"):
        parts.append(f"{_range([round(value) for value in uptake], 'minutes')} after the injection of the tracer")
    return [f"{', '.join(parts)}."]


def _range(values: Sequence[Any], unit: str) -> str:
    low, high = f"{values[0]:g}", f"{values[-1]:g}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _measured(study: Mapping[str, Any]) -> list[str]:
    """Variables that are measured in the images, those of one measure in one sentence."""
    what = {
        "volume": "total volumes", "mean": "mean intensities", "maximum": "largest intensities",
        "peak": "mean intensities of the hottest sphere of 1 mL [@Wahl2009]",
    }  # fmt: skip
    named: dict[str, list[str]] = {}
    for variable in study["variables"].values():
        if "measured" in variable:
            of = variable["measured"]["of"]
            regions = "all regions" if of == "*" else f"the regions “{of}”"
            named.setdefault(variable["measured"]["measure"], []).append(f"{variable['label']} of {regions}")
    return [f"Measured in the images were, as {what[measure]}: {listed(found)}." for measure, found in named.items()]


def extraction_sentences(
    study: Mapping[str, Any],
    results: Mapping[str, Any],
    parameters: Mapping[str, Mapping[str, Any]],
    versions: Mapping[str, str],
) -> list[str]:
    """How features were computed, with all settings; features that were brought as a table say so."""
    sentences = []
    for name, block in study.get("extractions", {}).items():
        if "table" in block:
            sentences.append(
                f"The features “{name}” were computed outside this analysis and brought as a table; how images were "
                "prepared for them is for the authors to describe."
            )
        elif name in parameters:
            conformance = block.get("conformance", "ibsi")
            sentences += _extraction(name, conformance, parameters[name], versions)
            if conformance == "ibsi" and "CT" in tag_values(results, "Modality"):
                sentences.append("Interpolated intensities of CT were rounded to whole numbers.")
    return sentences


def _extraction(name: str, conformance: str, content: Mapping[str, Any], versions: Mapping[str, str]) -> list[str]:
    settings = content.get("setting") or {}
    version = versions.get("pyradiomics-bhklab")
    software = "pyradiomics" + (f" (distribution pyradiomics-bhklab {version})" if version else "")
    sentences = [
        f"Features of the extraction “{name}” were computed with {software} [@vanGriethuysen2017] from "
        f"{_image_types(content)}: {_feature_classes(content)}."
    ]
    sentences.append(_resampling(settings, conformance))
    if conformance == "ibsi":
        sentences.append(
            "Image preparation and features follow the Image Biomarker Standardisation Initiative (IBSI) "
            "[@Zwanenburg2020], against whose digital phantom the software was tested in this study."
        )
    else:
        sentences.append(
            "Image preparation repeats SlicerRadiomics, the extension of 3D Slicer [@Fedorov2012], and departs from "
            "the Image Biomarker Standardisation Initiative (IBSI) [@Zwanenburg2020] in resampling, re-segmentation "
            "and kurtosis."
        )
    sentences += [_resegmentation(settings), _discretisation(settings, conformance), _textures(settings)]
    if settings.get("normalize"):
        sentences.append("Intensities of each image were normalised to mean 0 and standard deviation 1.")
    rest = {key: value for key, value in settings.items() if key not in _TOLD}
    if rest:
        named = listed([f"{key} {value}" for key, value in rest.items()])
        sentences.append(f"The parameter file also set {named}.")
    return [*sentences, "All other settings were the defaults of pyradiomics."]


def _image_types(content: Mapping[str, Any]) -> str:
    types = []
    for name, options in (content.get("imageType") or {"Original": {}}).items():
        options = options or {}
        if name == "Original":
            types.append("the unfiltered image")
        elif name == "Wavelet":
            types.append(f"its wavelet decompositions ({options.get('wavelet', 'coif1')})")
        elif name == "LoG":
            sigma = options.get("sigma") or (content.get("setting") or {}).get("sigma") or []
            types.append(f"Laplacian-of-Gaussian images (sigma {listed([f'{s:g}' for s in sigma])} mm)")
        else:
            types.append(f"the image filtered by {name}")
    return listed(types)


def _feature_classes(content: Mapping[str, Any]) -> str:
    classes = content.get("featureClass") or dict.fromkeys(name for name in _CLASSES if name != "shape2D")
    return listed([
        _CLASSES.get(name, name) + (f" ({count(len(chosen), 'feature')} of it)" if chosen else "")
        for name, chosen in classes.items()
    ])  # fmt: skip


def _resampling(settings: Mapping[str, Any], conformance: str) -> str:
    spacing = settings.get("resampledPixelSpacing")
    if not spacing:
        return "Images were not resampled."
    kind = _INTERPOLATORS.get(settings.get("interpolator", "sitkBSpline"), settings.get("interpolator"))
    size = " × ".join(f"{value:g}" for value in spacing)
    kept = " (0: the direction was left as it was)" if 0 in spacing else ""
    words = f"Images were resampled to voxels of {size} mm{kept} by {kind} interpolation, masks by "
    if conformance == "slicer":
        words += "nearest-neighbour interpolation, on a grid aligned with the corner of the image and as large as the "
        return f"{words}region and its padding need."
    words += (
        "linear interpolation cut at 0.5, on a grid that shared its centre with the image and had its size rounded "
    )
    return f"{words}up to whole voxels; beyond the image its outermost voxels go on."


def _resegmentation(settings: Mapping[str, Any]) -> str:
    parts = []
    if bounds := settings.get("resegmentRange"):
        unit = " standard deviations" if settings.get("resegmentMode") == "sigma" else ""
        parts.append(f"at least {bounds[0]:g}" if len(bounds) == 1 else f"{bounds[0]:g} to {bounds[1]:g}{unit}")
    if settings.get("removeOutliers"):
        parts.append(f"within {settings['removeOutliers']:g} standard deviations of their mean")
    if not parts:
        return "Regions were not re-segmented."
    return f"Regions were re-segmented to intensities of {' and '.join(parts)}."


def _discretisation(settings: Mapping[str, Any], conformance: str) -> str:
    if "binCount" in settings:
        return f"Intensities were discretised with a fixed number of {settings['binCount']} bins."
    absolute = settings.get("resegmentRange") and settings.get("resegmentMode", "absolute") == "absolute"
    lower = "the lower bound of re-segmentation in the unfiltered image and at multiples of the width in filtered ones"
    start = lower if conformance == "ibsi" and absolute else "a multiple of the width"
    width = settings.get("binWidth", 25)
    return f"Intensities were discretised with a fixed bin width of {width:g}, the first bin starting at {start}."


def _textures(settings: Mapping[str, Any]) -> str:
    """How texture matrices are made; pyradiomics averages over directions and connects zones over corners."""
    where = "in two dimensions, slice by slice" if settings.get("force2D") else "in three dimensions"
    glcm = "symmetrical" if settings.get("symmetricalGLCM", True) else "asymmetrical"
    distances = listed([str(value) for value in settings.get("distances", [1])])
    weights = settings.get("weightingNorm")
    weighting = f"weighted by their {weights} norm" if weights else "not weighted"
    return (
        f"Textures were computed {where}; the GLCM was {glcm}, features of GLCM and GLRLM were averaged over "
        f"directions, neighbours lay at a Chebyshev distance of {distances} and distances were {weighting}; zones of "
        "the GLSZM were connected at a Chebyshev distance of 1, and the GLDM's "
        f"cut-off was {settings.get('gldm_a', 0):g}."
    )


def stability_sentences(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """How the robustness of features was judged."""
    tables = [table for name, table in results.items() if name.startswith("stability/") and len(table)]
    if not tables:
        return []
    stability = study["stability"]
    readings, agreement = stability["readings"], stability.get("agreement", {})
    sentences = []
    who = {"intra": "by the same rater", "inter": "by another rater"}
    told = [words for role, words in who.items() if role in readings]
    if told:
        number = max(int(table["n"].max()) for table in tables if "n" in table)
        sentences.append(f"Up to {count(number, 'region')} were segmented again {listed(told)}.")
    if perturbed := stability.get("perturbation"):
        sentences.append(
            f"The regions were perturbed {count(perturbed['repeats'], 'time')} by the chain of Zwanenburg et al. "
            f"[@Zwanenburg2019]: {listed(_perturbations(perturbed))}."
        )
    form = agreement.get("form", "ICC2")
    sentences.append(
        "Agreement of features was measured by intraclass correlation coefficients in all six forms [@Shrout1979] and "
        f"by limits of agreement [@Bland1986]; by {icc_words(form)} features were called unstable below "
        f"{agreement.get('stable', 0.75):g} and excellent from {agreement.get('excellent', 0.9):g} on [@Koo2016]."
    )
    return sentences


def icc_words(form: str) -> str:
    """A form of ICC as Shrout and Fleiss number it, and what it counts as disagreement."""
    number, mean = form[3], form.endswith("k")
    kind = {"1": "one-way", "2": "absolute agreement", "3": "consistency"}[number]
    return f"ICC({number},{'k' if mean else '1'}), {kind},"


def _perturbations(settings: Mapping[str, Any]) -> list[str]:
    parts = []
    parts += [f"rotation by up to {settings['rotation_degrees']:g}°"] if settings.get("rotation_degrees") else []
    parts += [f"translation by up to {settings['translation']:g} voxel"] if settings.get("translation") else []
    parts += ["noise as strong as the scan's own"] if settings.get("noise") else []
    if settings.get("volume_change"):
        parts.append(f"a change of volume by up to {100 * settings['volume_change']:g} %")
    return parts + (["contour randomisation"] if settings.get("contour") else [])
