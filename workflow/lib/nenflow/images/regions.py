"""Regions that are computed from drawn ones: rings around lesions, the rest of an organ, all lesions together."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial, reduce

import numpy as np
import SimpleITK as sitk

from nenflow.errors import InputError

# Distances are float32: a voxel at exactly the width of a ring belongs to it, whatever its last digit.
ROUNDING_MM = 1e-4

Masks = Mapping[tuple[str, str], sitk.Image]
Box = tuple[slice, ...]
WHOLE = (slice(None),) * 3


def derive_regions(
    masks: Masks, rules: Mapping[str, Mapping], reference: str
) -> tuple[dict[tuple[str, str], sitk.Image], dict[tuple[str, str], str]]:
    """Compute regions from drawn masks, for each rater.

    The rules, by the name of the region; patterns are those of file names (`lesion-*`):

    - `{kind: ring, of: pattern, width_mm: 5, inside: organ}` gives `<region>-<name>` for each drawn region that
      matches: the voxels whose centre is at most so far from the centre of the nearest voxel of the region, without
      those of any region that matches and without the cavities that the region encloses. `inside` (may be left out)
      cuts it to an organ.
    - `{kind: union, of: pattern, inside: organ}` gives `<name>`: every voxel of any region that matches, counted once.
      With `inside` these are the regions that overlap or touch the organ, each of them whole: 3D Slicer cuts lesions
      out of the organ they lie in, and a lesion may bulge out of it.
    - `{kind: rest, of: pattern, without: [pattern, ...]}` gives `<name>`: what is left of an organ.

    What only delimits (`inside`, `without`, other lesions beside a ring) is the rater's own mask, or the reference
    rater's where this rater drew none. What a region is made of must be the rater's own: a union or rest is computed
    for a rater who drew all regions that match `of` and that the reference rater drew. Otherwise readings would differ
    because of what was drawn and not how, or agree because they share a mask.

    Args:
        masks: drawn masks of one scan by (region, rater); uint8, 0 or 1, all on one grid.
        rules: the computed regions by name.
        reference: the rater whose regions are analysed.

    Returns:
        The computed masks by (region, rater), uint8 on the same grid, none of them empty; and for those that cannot be
        computed the reason in one sentence.

    Raises:
        InputError: a computed region would have the name of another region.
    """
    computed: dict[tuple[str, str], sitk.Image] = {}
    reasons: dict[tuple[str, str], str] = {}
    drawn = {region for region, _ in masks}
    for name, rule in rules.items():
        for rater in dict.fromkeys(rater for _, rater in masks):
            for region, compute in _targets(name, rule, _Reading(masks, rater, reference)):
                key = (region, rater)
                if region in drawn or key in computed or key in reasons:
                    raise InputError(f"Two regions would be called {region}: give the computed region another name.")
                try:
                    computed[key] = _to_image(compute(), masks)
                except InputError as error:
                    reasons[key] = str(error)
    return computed, reasons


def rule_of(region: str, rules: Mapping[str, Mapping]) -> tuple[str | None, Mapping]:
    """The rule that gives a computed region, and for a ring the region that it surrounds."""
    for name, rule in rules.items():
        if region == name:
            return None, rule
        if region.endswith(f"-{name}"):
            return region.removesuffix(f"-{name}"), rule
    raise KeyError(region)


@dataclass(frozen=True)
class _Reading:
    """What one rater drew on a scan, with the reference rater's masks beside it."""

    masks: Masks
    rater: str
    reference: str

    def own(self, pattern: str) -> list[str]:
        return self._names(pattern, self.rater)

    def all_own(self, pattern: str) -> list[str]:
        """Names of the rater's regions that match, where none is missing that the reference rater drew."""
        own = self.own(pattern)
        missing = [name for name in self._names(pattern, self.reference) if name not in own]
        if missing:
            raise InputError(
                f"Rater {self.rater} has not drawn {' and '.join(missing)}, which {self.reference} has drawn."
            )
        if not own:
            raise self._lacking(pattern)
        return own

    def any_drawn(self, pattern: str) -> list[str]:
        """Names of the regions that match and that this rater or the reference rater drew."""
        names = list(dict.fromkeys([*self.own(pattern), *self._names(pattern, self.reference)]))
        if not names:
            raise self._lacking(pattern)
        return names

    def join(self, names: list[str], box: Box = WHOLE) -> np.ndarray:
        """Voxels (z, y, x) of any of these regions in a part of the grid, each the rater's own where there is one."""
        arrays = (self._array(name)[box].astype(bool) for name in names)
        return reduce(np.logical_or, arrays)

    def _array(self, name: str) -> np.ndarray:
        rater = self.rater if (name, self.rater) in self.masks else self.reference
        return sitk.GetArrayViewFromImage(self.masks[name, rater])

    def _lacking(self, pattern: str) -> InputError:
        if self.rater == self.reference:
            return InputError(f"Rater {self.rater} has not drawn {pattern}.")
        return InputError(f"Neither rater {self.rater} nor {self.reference} has drawn {pattern}.")

    def _names(self, pattern: str, rater: str) -> list[str]:
        return [name for name, drawn_by in self.masks if drawn_by == rater and fnmatchcase(name, pattern)]


def _targets(name: str, rule: Mapping, reading: _Reading) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """The regions that a rule gives for a rater, and how each is computed."""
    if rule["kind"] == "ring":
        for region in reading.own(rule["of"]):
            yield f"{region}-{name}", partial(_ring, region, rule, reading)
    else:
        yield name, partial({"union": _union, "rest": _rest}[rule["kind"]], rule, reading)


def _ring(region: str, rule: Mapping, reading: _Reading) -> np.ndarray:
    core = _not_empty(reading.join([region]), f"in {region}")
    spacing = reading.masks[region, reading.rater].GetSpacing()
    box = _box(core, rule["width_mm"], spacing)
    image = sitk.GetImageFromArray(core[box].astype(np.uint8))
    image.SetSpacing(spacing)
    # A cavity (necrosis that was left out) lies in the region and not around it: no way by faces leads out of it.
    image = sitk.BinaryFillhole(image)
    # Outside a region, its values are distances between voxel centres.
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    near = sitk.GetArrayViewFromImage(distance) <= rule["width_mm"] + ROUNDING_MM
    near &= sitk.GetArrayViewFromImage(image) == 0
    near &= ~reading.join(reading.any_drawn(rule["of"]), box)
    ring = np.zeros_like(core)
    ring[box] = _inside(near, rule, reading, f"within {rule['width_mm']:g} mm of {region}", box)
    return ring


def _box(core: np.ndarray, width_mm: float, spacing: tuple[float, ...]) -> Box:
    """The part of the grid that a ring can reach."""
    box = []
    for axis, step in enumerate(reversed(spacing)):
        filled = np.flatnonzero(core.any(axis=tuple({0, 1, 2} - {axis})))
        margin = int(np.ceil(width_mm / step)) + 1
        box.append(slice(max(filled[0] - margin, 0), filled[-1] + margin + 1))
    return tuple(box)


def _union(rule: Mapping, reading: _Reading) -> np.ndarray:
    names = reading.all_own(rule["of"])
    if "inside" in rule:
        organ = reading.join(reading.any_drawn(rule["inside"]))
        names = [name for name in names if _touches(reading.join([name]), organ)]
        if not names:
            raise InputError(f"No region {rule['of']} overlaps or touches {rule['inside']}.")
    return _not_empty(reading.join(names), f"in {rule['of']}")


def _touches(region: np.ndarray, organ: np.ndarray) -> bool:
    """Whether a region shares a voxel with an organ, or a face, edge or corner of one."""
    if not region.any():
        return False
    box = _box(region, 0, (1, 1, 1))
    grown = sitk.BinaryDilate(sitk.GetImageFromArray(region[box].astype(np.uint8)), (1, 1, 1), sitk.sitkBox)
    return bool((sitk.GetArrayViewFromImage(grown) & organ[box]).any())


def _rest(rule: Mapping, reading: _Reading) -> np.ndarray:
    rest = reading.join(reading.all_own(rule["of"]))
    for pattern in rule["without"]:
        rest &= ~reading.join(reading.any_drawn(pattern))
    return _not_empty(rest, f"of {rule['of']} without {' and '.join(rule['without'])}")


def _inside(mask: np.ndarray, rule: Mapping, reading: _Reading, where: str, box: Box = WHOLE) -> np.ndarray:
    if "inside" not in rule:
        return _not_empty(mask, where)
    organ = reading.join(reading.any_drawn(rule["inside"]), box)
    return _not_empty(mask & organ, f"{where} inside {rule['inside']}")


def _not_empty(mask: np.ndarray, where: str) -> np.ndarray:
    if not mask.any():
        raise InputError(f"There is no voxel {where}.")
    return mask


def _to_image(mask: np.ndarray, masks: Masks) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(next(iter(masks.values())))
    return image
