"""A new study's folder, copied from the template.

python -m nenflow.template my-study
"""

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from nenflow.errors import InputError
from nenflow.study import TEMPLATE

NAME = re.compile(r"[A-Za-z0-9-]{1,40}")
STUDIES = Path("config/studies")
NEXT = """The study is in {folder}. Next:
1. Fill in patients.csv, lesions.csv (where a variable belongs to the lesion) and cases.csv, which make cases can write.
2. Say in study.yaml what the columns are, what is predicted and how; every key is explained there.
3. make study STUDY={name}, mend what it lists, look at results/{name}/report/gallery.html, read report.html there."""


def new_study(name: str, studies: Path = STUDIES) -> Path:
    """Copy the template to a new study of that name, and give its folder.

    Raises:
        InputError: the name cannot be a study's, or there is such a study already.
    """
    if not NAME.fullmatch(name):
        raise InputError("A study's name consists of letters, digits and '-', at most 40, such as NAME=my-study.")
    if taken := [path.name for path in studies.iterdir() if path.name.casefold() == name.casefold()]:
        raise InputError(f"There is a study {taken[0]} in config/studies already; choose another name.")
    return Path(shutil.copytree(studies / TEMPLATE, studies / name))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    name = " ".join(sys.argv[1:] if arguments is None else arguments)
    try:
        folder = new_study(name)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(NEXT.format(folder=folder.as_posix(), name=name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
