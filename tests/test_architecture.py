"""The house's rules: arrows run one way, few modules know MLflow, files stay small."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MLFLOW_MODULES = {
    "store/tracking.py",
    "store/runlog.py",
    "store/mlflow_private.py",
    "store/retries.py",
    "store/connection.py",
    "models/packaging.py",
    "models/pyfunc_model.py",
    "models/worker.py",
}
LIMIT = 350
MOST_MODULES = 12
MOST_PARAMETERS = 6
# The rooms of `vad`: each imports from those before it.
ROOMS = (
    "errors",
    "user_code",
    "blocks",
    "catalog",
    "system",
    "images",
    "data",
    "repair",
    "frames",
    "synthetic",
    "inputs",
    "measures",
    "detectors",
    "scoring",
)


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    """What a module imports anywhere in it: modules, and the names that it takes from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports anywhere in it."""
    return {name.split(".")[0] for name in imported_modules(path)}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", ["vad", "registry", "tests"])
def test_there_is_something_to_check(folder):
    assert len(modules(folder)) > 5


@pytest.mark.parametrize("path", modules("vad"), ids=named)
def test_vad_knows_nothing_of_runs_entries_or_command_lines(path):
    assert not imported(path) & {"registry", "mlflow", "click", "yaml", "pydantic"}


@pytest.mark.parametrize("path", [path for path in modules("vad") if path.parent != ROOT / "vad"], ids=named)
def test_a_room_of_vad_imports_only_from_those_before_it(path):
    own = ROOMS.index(path.relative_to(ROOT / "vad").parts[0])
    for name in imported_modules(path):
        root, _, rest = name.partition(".")
        assert root != "vad" or (rest and ROOMS.index(rest.split(".")[0]) <= own), name


def test_no_modules_import_each_other_in_a_circle():
    """Not even within functions, or for types alone: whoever reads one of a circle must read all."""
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in modules("vad", "registry")}
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    imports = {
        name: {other for other in imported_modules(path) & paths.keys() if not f"{name}.".startswith(f"{other}.")}
        for name, path in paths.items()  # its own package it need not import
    }
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("folder", sorted({path.parent for path in modules("vad", "registry")}), ids=named)
def test_a_folder_holds_a_dozen_modules_at_most(folder):
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES


def functions(node: ast.AST) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Every function below a node, with its decorators and those of its class."""
    outer = " ".join(map(ast.unparse, node.decorator_list)) if isinstance(node, ast.ClassDef) else ""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child, " ".join([outer, *map(ast.unparse, child.decorator_list)])
        yield from functions(child)


def parameters(function: ast.FunctionDef, decorators: str) -> list[str]:
    """What a caller gives, without the options of a click command and of a block, which are named and may be many."""
    given = [*function.args.posonlyargs, *function.args.args]
    given += [] if ".register(" in decorators else function.args.kwonlyargs
    return [] if "click.command" in decorators else [a.arg for a in given if a.arg not in ("self", "cls")]


@pytest.mark.parametrize("path", modules("vad", "registry"), ids=named)
def test_a_function_takes_six_parameters_at_most(path):
    for function, decorators in functions(ast.parse(path.read_text(encoding="utf-8"))):
        assert len(parameters(function, decorators)) <= MOST_PARAMETERS, function.name


@pytest.mark.parametrize("path", modules("registry/engines"), ids=named)
def test_engines_know_nothing_of_runs(path):
    assert not any(name.startswith("registry.runs") for name in imported_modules(path))


def test_few_modules_of_registry_import_mlflow():
    importing = {
        path.relative_to(ROOT / "registry").as_posix() for path in modules("registry") if "mlflow" in imported(path)
    }
    assert importing <= MLFLOW_MODULES


@pytest.mark.parametrize("path", modules("vad", "registry", "tests", "benchmarks"), ids=named)
def test_a_file_can_be_held_in_the_head(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LIMIT
