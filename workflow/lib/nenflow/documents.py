import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def write_json(document: Any, path: str | Path) -> None:
    """Write a document that a person can read and that reads back to the same numbers; NaN and infinity as null."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON document; reading one runs no code."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def plain(value: Any) -> Any:
    """Turn numpy and pandas values into what JSON knows: dicts, lists, text, numbers, null."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.reset_index().to_dict("records")]
    if isinstance(value, pd.Series):
        return plain(value.to_dict())
    if isinstance(value, np.ndarray | list | tuple | pd.Index):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
