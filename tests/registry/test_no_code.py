"""No code in data: nothing in the way from training to serving is pickled, and no loader would run what a file says."""

import ast
import json
import pickletools
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# Modules whose loaders run code, and calls that do.
MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__"}
LOADERS = {("torch", "load"), ("torch", "save"), ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}
SOURCES = sorted(path for folder in ("vad", "registry") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_loader_runs_code(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & MODULES, f"{path}:{node.lineno}"
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name):
            assert called.id not in CALLS, f"{path}:{node.lineno}"
        elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            if (called.value.id, called.attr) == ("torch", "load"):  # PyTorch's reader of tensors alone
                assert [ast.unparse(k) for k in node.keywords] == ["weights_only=True"], f"{path}:{node.lineno}"
                continue
            if (called.value.id, called.attr) == ("yaml", "load"):
                (loader,) = [ast.unparse(k.value) for k in node.keywords if k.arg == "Loader"] or [
                    ast.unparse(node.args[1])
                ]
                assert "Safe" in loader or loader.startswith("_"), f"{path}:{node.lineno}: {loader}"
            else:
                assert (called.value.id, called.attr) not in LOADERS, f"{path}:{node.lineno}"
        given = {k.arg: k.value for k in node.keywords}
        allowed = given.get("allow_pickle")
        assert not (isinstance(allowed, ast.Constant) and allowed.value), f"{path}:{node.lineno}"


def is_pickle(content: bytes) -> bool:
    """Whether the bytes are a whole pickle of any protocol that has a head."""
    if not content.startswith(b"\x80"):
        return False
    try:
        return list(pickletools.genops(content))[-1][0].name == "STOP"
    except (ValueError, IndexError):
        return False


def test_the_test_knows_a_pickle():
    import pickle

    assert is_pickle(pickle.dumps({"a": object}))
    assert not is_pickle(b"\x80 is no pickle")


def test_no_artifact_is_or_holds_a_pickle(finished_folder):
    """Every file of the store and of the caches, after a run that registered a model."""
    files = [path for name in ("mlartifacts", ".vad") for path in (finished_folder / name).rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".safetensors", ".yaml", ".json", ".csv", ".png", ".py", ".npy"} <= kinds
    assert not kinds & {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".bin", ".pyc", ".so"}
    for path in files:
        assert not is_pickle(path.read_bytes()), path
        assert not zipfile.is_zipfile(path), path
        if path.suffix == ".npy":
            assert path.read_bytes()[10:80].startswith(b"{'descr': '|u1'") or b"'<f4'" in path.read_bytes()[10:80], path
        elif path.suffix == ".safetensors":
            size = int.from_bytes(path.read_bytes()[:8], "little")
            assert json.loads(path.read_bytes()[8 : 8 + size])
        elif path.name == "MLmodel":
            flavor = yaml.safe_load(path.read_text())["flavors"]["python_function"]
            assert flavor["loader_module"] == "mlflow.pyfunc.loaders.code_model"
            assert "python_model" not in flavor
