"""Phases of an analysis: one, or several whose features stand side by side."""

from collections.abc import Sequence


def phases_of(phase: str | Sequence[str]) -> list[str]:
    """The phases that a model or the markers use; study.yaml gives one name or a list of them."""
    return [phase] if isinstance(phase, str) else list(phase)
