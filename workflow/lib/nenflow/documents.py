import json
import math
from pathlib import Path
from typing import Any

from nenflow.files import write_text


def write_json(document: Any, path: str | Path) -> None:
    """Write a document that a person can read and that reads back to the same numbers; NaN and infinity as null."""
    write_text(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def read_json(path: str | Path) -> Any:
    """Read a JSON document; reading one runs no code."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def plain(value: Any) -> Any:
    """Turn numpy and pandas values into what JSON knows: dicts, lists, text, numbers, null."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    # Tables, columns and arrays are known by their methods: jobs without any need not load pandas for this.
    if hasattr(value, "to_dict"):
        return plain(value.reset_index().to_dict("records") if value.ndim == 2 else value.to_dict())
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
