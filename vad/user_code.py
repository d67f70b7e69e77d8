"""The code of your own blocks: their source without comments and docstrings, and all of yours that it imports."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent
_MODULES = {
    "vad": "catalog errors user_code",
    "vad.blocks": "",
    "vad.data": "frame_index frameset layouts matlab names numbers scores tables",
    "vad.data.datasets": "base clips common nwpu shanghaitech street_scene ubnormal ucsd",
    "vad.data.labels": "annotations arrays avenue base find interval_table intervals known mask_images table tracks",
    "vad.detectors": "bank_detector base kinds member network_detector",
    "vad.detectors.banks": "base cells",
    "vad.detectors.networks": "base conv3d_ae conv_ae convlstm fully_conv_ae halving reconstruction_errors unet_ae",
    "vad.detectors.training": "losses optimizers recipe remote train_step trainer",
    "vad.frames": "inspection maps repaired store",
    "vad.images": "decode digest_cache similarity view",
    "vad.inputs": "base cells device_cache efficientnet_lite flow frames frozen_features motion_cells shape",
    "vad.measures": "alignment frame_level metrics region_files regions",
    "vad.repair": "base flips noise",
    "vad.scoring": "ensemble frame_scores pipeline reductions render steps",
    "vad.synthetic": "corruption found_damage painted street street_drawing street_figures street_scenes",
    "vad.system": "devices files memory precision processes threads weights",
}
_PROJECT = {*_MODULES, *(f"{package}.{name}" for package, names in _MODULES.items() for name in names.split())}
_LIBRARIES = tuple(os.path.realpath(sysconfig.get_path(key)) for key in ("stdlib", "platstdlib", "purelib", "platlib"))


@cache
def code_of(module: str, name: str) -> dict[str, str]:
    """What decides a block of your own, filed under `name` in a module: SHA-256 of sources by file.

    In a file of the project, the statements that name the block and what of that file they use; any other file whole.
    """
    if _file(module) is None:  # of a package that is installed
        names = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
        return {name: importlib.metadata.version(name) for name in names}
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        path = _file(current)
        if path is None or _label(path) in found:
            continue
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
        statements = _used(tree, name) if current in _PROJECT else tree.body
        text = "\n".join(ast.unparse(statement) for statement in statements if not _is_text(statement))
        found[_label(path)] = hashlib.sha256(text.encode()).hexdigest()
        package = current if path.name == "__init__.py" else current.rpartition(".")[0]
        imported = [other for statement in statements for other in _imports(statement, package)]
        waiting += [other for other in imported if other not in _PROJECT]
    return dict(sorted(found.items()))


def place_of(error: BaseException) -> str | None:
    """Where in your own code an error arose: file and line; None where no such code had a part in it."""
    project = {_file(name) for name in _PROJECT}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        ours = path in project or path.is_relative_to(_ROOT.parent / "registry")
        if path.is_file() and not ours and not str(path).startswith(_LIBRARIES):
            return f"{_label(path)}, line {frame.lineno}"
    return None


def told(error: BaseException) -> str:
    """An error in one line, with its place where that is in your code."""
    place = place_of(error)
    return f"{f'{place}: ' if place else ''}{type(error).__name__}: {' '.join(str(error).split()):.300}"


def _label(path: Path) -> str:
    """Return a file's name in a digest: its path below `vad/` or `blocks/`, elsewhere below the folder in Python's search path."""
    if str(path.parent) in getattr(sys.modules.get("vad.blocks"), "__path__", ()):
        return f"blocks/{path.name}"
    roots = [_ROOT.parent] if path.is_relative_to(_ROOT) else [Path(place or ".").resolve() for place in sys.path]
    inside = [path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root)]
    return min(inside, key=len, default=path.name)


def _file(module: str) -> Path | None:
    """A module's file, if it is Python and no library's."""
    try:
        known = sys.modules[module] if module in sys.modules else importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    origin = getattr(known, "__file__", None) or getattr(known, "origin", None)
    if not isinstance(origin, str) or not origin.endswith(".py") or not os.path.isfile(origin):
        return None
    path = Path(origin).resolve()
    return path if path.is_relative_to(_ROOT) or not str(path).startswith(_LIBRARIES) else None


def _imports(statement: ast.AST, package: str) -> Iterator[str]:
    """The modules that a statement imports; a name out of a package may be one too."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(name, package) if node.level else name
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _used(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The statements of a file that name a block, and those that make what they use, in the file's order."""
    makes: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for made in _makes(statement):
            makes.setdefault(made, []).append(statement)
    waiting: list[ast.stmt] = []
    for statement in tree.body:
        # What files a block: a decorator of it, or the target of an assignment.
        filing = getattr(statement, "decorator_list", []) + getattr(statement, "targets", [])
        if any(isinstance(n, ast.Constant) and n.value == name for part in filing for n in ast.walk(part)):
            waiting.append(statement)
    used: list[ast.stmt] = []
    while waiting:
        statement = waiting.pop()
        if statement not in used:
            used.append(statement)
            loaded = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
            waiting += [other for known in loaded for other in makes.get(known, [])]
    return [statement for statement in tree.body if statement in used]


def _makes(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.split(".")[0] for alias in statement.names)
    else:
        yield from (n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _is_text(statement: ast.AST) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
