"""What `vad import` is given: every file as it was sealed and every record of the right types, or one error before the store is touched."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.maintenance.parcel import Parcel, Point, RunRecord, VersionRecord, seal, unpack
from vad.errors import InputError

ID = "a" * 32
RUN = RunRecord(ID, "n", "e", {}, "FINISHED", 1, 2, {}, {"vad.kind": "experiment"}, [Point("m", 1.0, 1, 0)])
VALUES = [None, True, -1, "x", "../../x", "/etc/passwd", [], {}, {"a": 1}, [1], [[]], 10**30, 1e400, "a\0b", "b" * 32]


def _make(folder):
    shutil.rmtree(folder, ignore_errors=True)
    Parcel(folder, {ID: RUN}, VersionRecord("1", "d", ID, {}, "m-1", "n", None, {}, {}, [])).write()
    seal(folder, {})
    return folder


@settings(max_examples=150)
@given(data=st.data())
def test_a_file_that_was_altered_is_noticed(tmp_path, damaged, judged, data):
    folder = _make(tmp_path / "parcel")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    path.write_bytes(data.draw(damaged(whole)))
    found = judged(lambda: unpack(folder), "parcel")
    assert found is None or path.read_bytes() == whole or path.name == "export.json"
    assert found is None or found.runs == {ID: RUN}


@settings(max_examples=150)
@given(key=st.sampled_from([*RUN.__dataclass_fields__]), value=st.sampled_from(VALUES))
def test_records_of_wrong_types_are_refused_though_sealed(tmp_path, judged, key, value):
    folder = _make(tmp_path / "parcel")
    path = folder / "runs" / ID / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    (folder / "export.json").unlink()
    seal(folder, {})
    found = judged(lambda: unpack(folder), "parcel")
    if found is not None:
        run = found.runs[ID]
        assert all(isinstance(text, str) for text in (run.name, run.experiment, *run.tags.values(), *run.params))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "runs/../../x/run.json"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    folder = _make(tmp_path / "parcel")
    content = json.loads((folder / "export.json").read_text())
    content["files"][name] = {"sha256": "0", "bytes": 1}
    (folder / "export.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="is missing"):
        unpack(folder)


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "nowhere"])
def test_links_are_refused(tmp_path, target):
    folder = _make(tmp_path / "parcel")
    (folder / "runs" / "link").symlink_to(target)
    with pytest.raises(InputError, match="link is a link"):
        unpack(folder)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "files": ["a"]}',
        '{"format": 1, "files": []}',
        "[" * 200_000,
        "\0",
    ],
)
def test_contents_that_are_none(tmp_path, judged, content):
    folder = _make(tmp_path / "parcel")
    (folder / "export.json").write_text(content)
    assert judged(lambda: unpack(folder), "parcel") is None
