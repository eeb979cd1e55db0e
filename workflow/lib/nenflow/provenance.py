import hashlib
import re
from functools import cache
from pathlib import Path


def code_digest(script: Path, library: Path) -> str:
    """Digest of a script's library code: the modules it imports, and those that they import in turn.

    Snakemake sees when a script changes, but not when a module that the script imports does. With this digest among
    a rule's params, editing a module re-runs exactly the rules that use it. Only absolute imports at the top level
    of a module are followed, which is why the library has no other kind.

    Args:
        script: a Python file.
        library: the folder that holds the `nenflow` package.
    """
    modules: set[Path] = set()
    pending = [script]
    while pending:
        new = _imported(pending.pop(), library) - modules
        modules |= new
        pending.extend(new)
    digest = hashlib.sha256()
    for module in sorted(modules):
        digest.update(module.relative_to(library).as_posix().encode())
        digest.update(_content(module))
    return digest.hexdigest()[:16]


# An import statement at the top level, over several lines where it has parentheses. Parsing all modules for real would
# take half a second at every start.
_IMPORT = re.compile(r"^(?:from (nenflow[\w.]*) import (\([^)]*\).*|.*)|import (.*))$", re.MULTILINE)


@cache  # most modules are used by many scripts
def _content(file: Path) -> bytes:
    return file.read_bytes()


@cache
def _imported(file: Path, library: Path) -> set[Path]:
    """Files of the library that a Python file imports."""
    names = []
    for module, imported, modules in _IMPORT.findall(_content(file).decode()):
        # `from nenflow.images import volumes` names a module among what it imports, `from nenflow.tables import x` not
        names += [module, *(f"{module}.{name}" for name in re.findall(r"\w+", imported))] if module else []
        names += re.findall(r"nenflow\.[\w.]+", modules)
    files = {library / Path(*name.split(".")).with_suffix(".py") for name in names if name.startswith("nenflow.")}
    return {file for file in files if file.is_file()}
