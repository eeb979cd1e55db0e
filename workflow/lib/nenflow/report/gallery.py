"""The page on which people look at every region before they trust a number."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from nenflow.report.cases import agreement_table, all_cases, all_readings, count_words, signoff_words, volume_text
from nenflow.report.page import render_page
from nenflow.report.sections import is_simulated
from nenflow.report.wording import count, decimal
from nenflow.tables import CASE

INLINED = 1000  # pictures that the page holds, some 20 MB; a browser does not open it with those of 10,000 patients
_REGION = ["cohort", "patient", "phase", "region"]


def render_gallery(study: Mapping[str, Any], results: Mapping[str, Any], templates: Path) -> str:
    """One HTML page with the picture of every region, what was measured in it and what was decided.

    The page holds its pictures and asks no network for anything; it needs no script. Of a large study it holds the
    first ones, flagged regions before others, and names the files of the rest.

    Args:
        study: the study's settings; of them `title` and `cohorts`.
        results: content of the study's files, see `results.read_results`: of each cohort images/*/cases.csv,
            images/*/readings.csv, cohort/*/signoff.csv, and pictures and tags in the patients' folders.
        templates: the folder with gallery.html.j2 and style.css.
    """
    cases, readings = all_cases(study, results), all_readings(study, results)
    several = len(study["cohorts"]) > 1
    shown = cases[cases["picture"].notna()] if len(cases) else cases
    by_region = {key: rows.to_dict("records") for key, rows in readings.groupby(_REGION)}
    cards = [
        _card(case, _agreement(case, by_region), several, inlined=number < INLINED)
        for number, case in enumerate(shown.to_dict("records"))
    ]
    groups = [
        {"name": "flagged", "title": "Flagged", "cards": [card for card in cards if card["flags"]]},
        {"name": "calm", "title": "Without flags", "cards": [card for card in cards if not card["flags"]]},
    ]
    refused = cases[cases["picture"].isna()].to_dict("records") if len(cases) else []
    context = {
        "title": study["title"],
        "simulated": is_simulated(study, results),
        "summary": [*_summary(cases), *_left_out(len(cards))],
        "agreement": _rows(agreement_table(cases, readings)) if len(cases) else None,
        "groups": [group for group in groups if group["cards"]],
        "refused": [{"name": _name(case, several), "reason": case["reason"] or "no picture"} for case in refused],
    }
    return render_page(context, templates, "gallery.html.j2")


def _summary(cases: pd.DataFrame) -> list[str]:
    return [count_words(cases), signoff_words(cases)] if len(cases) else ["No region has been brought in."]


def _left_out(cards: int) -> list[str]:
    if cards <= INLINED:
        return []
    return [
        f"This page holds the pictures of {INLINED} regions, flagged ones first, so that a browser can open it; of the "
        f"other {cards - INLINED} it says what was measured, and which file in the study's results is the picture."
    ]


def _card(case: Mapping[str, Any], agreement: list[str], several: bool, inlined: bool) -> dict[str, Any]:
    width, height = Image.open(io.BytesIO(case["picture"])).size
    name, volume = _name(case, several), volume_text(case["volume_mm3"])
    decided = {"ok": "ok", "exclude": "excluded", "": "not signed off"}[case["decision"]]
    facts = [
        ("Volume", f"{volume} in {count(case['voxels'], 'voxel')}"),
        ("Values", _values(case)),
        ("Shape", f"{count(case['components'], 'part')}, {count(case['cavities'], 'closed hole')}"),
        *(("Agreement", words) for words in agreement),
        ("Sign-off", f"{decided}: {case['decision_reason']}" if case["decision_reason"] else decided),
    ]
    if case["status"] != "included":
        facts.append(("Excluded", case["reason"]))
    if not inlined:
        facts.append(
            ("Picture", f"images/{case['cohort']}/{case['patient']}/{'_'.join(case[part] for part in CASE[1:])}.png")
        )
    return {
        "name": name, "flags": case["flags"], "decided": decided, "facts": facts, "width": width, "height": height,
        "brief": " · ".join([volume, f"mean {_number(case, 'mean')} {case['unit']}".rstrip()]),
        "png": base64.b64encode(case["picture"]).decode() if inlined else None,
        "alt": f"Three planes through {name}: {volume}; {'; '.join(case['flags']) or 'nothing flagged'}.",
    }  # fmt: skip


def _name(case: Mapping[str, Any], several: bool) -> str:
    return " · ".join(case[part] for part in ([*CASE, "cohort"] if several else CASE))


def _number(case: Mapping[str, Any], name: str) -> str:
    return decimal(case[name], 2 if case["unit"] == "SUV" else 1)


def _values(case: Mapping[str, Any]) -> str:
    mean, sd, low, middle, high = (_number(case, name) for name in ("mean", "sd", "minimum", "median", "maximum"))
    return f"mean {mean}, SD {sd}, median {middle}, range {low} to {high} {case['unit']}".rstrip()


def _agreement(case: Mapping[str, Any], by_region: Mapping[tuple, list[dict]]) -> list[str]:
    """What the other readers' segmentations, or the reference's, have in common with this one."""
    rows = by_region.get(tuple(case[name] for name in _REGION), [])
    return [
        f"with {row['reference'] if row['rater'] == case['rater'] else row['rater']}: Dice {decimal(row['dice'], 2)}, "
        f"Hausdorff {decimal(row['hausdorff_mm'], 1)} mm (95%: {decimal(row['hausdorff95_mm'], 1)} mm)"
        for row in rows
        if case["rater"] in (row["rater"], row["reference"])
    ]


def _rows(table: pd.DataFrame) -> dict[str, Any] | None:
    return {"head": list(table.columns), "rows": table.astype(str).to_numpy().tolist()} if len(table) else None
