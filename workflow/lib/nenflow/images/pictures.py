from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WINDOW_HU = (-110, 190)  # centre 40, width 300: liver parenchyma and its lesions
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#d55e00")  # Okabe and Ito, for colour-blind readers
PANEL_INCHES = 4.5


def write_qc(image: sitk.Image, masks: dict[tuple[str, str], sitk.Image], path: Path, note: str = "") -> None:
    """Draw one panel per region: the axial slice with its largest area, and the outline of each rater on it.

    Args:
        image: the scan.
        masks: masks on its grid by (region, rater).
        path: PNG file to write.
        note: goes above the panels; say there when data are simulated.
    """
    # Orientation as on a light box, whatever the order of axes in the file.
    scan = sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS"))
    spacing = sitk.DICOMOrient(image, "LPS").GetSpacing()
    arrays = {key: sitk.GetArrayFromImage(sitk.DICOMOrient(mask, "LPS")) for key, mask in masks.items()}
    regions = list(dict.fromkeys(region for region, _ in masks))
    raters = list(dict.fromkeys(rater for _, rater in masks))
    colours = {rater: COLOURS[number % len(COLOURS)] for number, rater in enumerate(raters)}
    height = PANEL_INCHES * scan.shape[1] * spacing[1] / (scan.shape[2] * spacing[0])
    figure = Figure(figsize=(PANEL_INCHES * len(regions), height + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, region in zip(figure.subplots(1, len(regions), squeeze=False)[0], regions, strict=True):
        drawn = {rater: array for (name, rater), array in arrays.items() if name == region}
        number = int(np.argmax(sum(drawn.values()).sum(axis=(1, 2))))
        axes.imshow(scan[number], cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=spacing[1] / spacing[0])
        for rater, array in drawn.items():
            if array[number].any():
                axes.contour(array[number], levels=[0.5], colors=colours[rater], linewidths=0.8)
            axes.plot([], [], color=colours[rater], label=rater)
        axes.legend(loc="lower right", fontsize=7)
        axes.set_title(f"{region}, slice {number + 1} of {len(scan)}", fontsize=9)
        axes.set_axis_off()
    figure.suptitle(note, fontsize=9)
    # Without the version of matplotlib the same input gives the same bytes for longer.
    figure.savefig(path, dpi=120, metadata={"Software": None})
