import hashlib
import re
from pathlib import Path

# An import statement at the top level, over several lines where it has parentheses. Parsing all modules for real would
# take half a second at every start.
_IMPORT = re.compile(r"^(?:from (nenflow[\w.]*) import (\([^)]*\).*|.*)|import (.*))$", re.MULTILINE)


class Library:
    """The library as it is now: each of its files is read once, since most modules are used by many scripts.

    Args:
        folder: the folder that holds the `nenflow` package.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._modules = {
            ".".join(path.relative_to(folder).with_suffix("").parts): path for path in folder.rglob("*.py")
        }
        self._contents: dict[Path, bytes] = {}
        self._imports: dict[Path, set[Path]] = {}
        self._marks: dict[Path, str] = {}

    def digest(self, script: Path) -> str:
        """Digest of a script's library code: the modules it imports, and those that they import in turn.

        Snakemake sees when a script changes, but not when a module that the script imports does. With this digest
        among a rule's params, editing a module re-runs exactly the rules that use it. Only absolute imports at the top
        level of a module are followed, which is why the library has no other kind.

        Args:
            script: a Python file.
        """
        modules: set[Path] = set()
        pending = [script]
        while pending:
            new = self._imported(pending.pop()) - modules
            modules |= new
            pending.extend(new)
        return hashlib.sha256("".join(sorted(map(self._mark, modules))).encode()).hexdigest()[:16]

    def _mark(self, module: Path) -> str:
        """A line with a module's name and the digest of its content."""
        if module not in self._marks:
            name, content = module.relative_to(self._folder).as_posix(), hashlib.sha256(self._content(module))
            self._marks[module] = f"{name} {content.hexdigest()}\n"
        return self._marks[module]

    def _content(self, file: Path) -> bytes:
        if file not in self._contents:
            self._contents[file] = file.read_bytes()
        return self._contents[file]

    def _imported(self, file: Path) -> set[Path]:
        """Files of the library that a Python file imports."""
        if file not in self._imports:
            names = []
            for module, imported, modules in _IMPORT.findall(self._content(file).decode()):
                # `from nenflow.images import volumes` names a module among what it imports, `from nenflow.tables import
                # x` does not
                names += [module, *(f"{module}.{name}" for name in re.findall(r"\w+", imported))] if module else []
                names += re.findall(r"nenflow\.[\w.]+", modules)
            self._imports[file] = {self._modules[name] for name in names if name in self._modules}
        return self._imports[file]
