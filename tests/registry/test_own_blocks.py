"""Blocks of one's own in a project's folder `blocks/`, as docs/extending.md shows them: trained, registered, used without the folder."""

import re
import shutil
from pathlib import Path

import cv2
import pytest

from tests.registry.apart import apart

DOCS = Path(__file__).parents[2] / "docs" / "extending.md"
NET, STEP, LOSS, REPAIR = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


def done(folder, *arguments, **environment):
    """The output of a command that must succeed, in a process of its own: catalogs are filled once in each."""
    result = apart(folder, *arguments, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def project(workspace, edit):
    """A project whose entry uses a network, a step, a loss and a repair of its own."""
    (workspace.folder / "blocks").mkdir()
    (workspace.folder / "blocks" / "my_net.py").write_text(NET)
    (workspace.folder / "blocks" / "hold.py").write_text(STEP)
    (workspace.folder / "blocks" / "charbonnier.py").write_text(LOSS)
    (workspace.folder / "blocks" / "brighten.py").write_text(REPAIR)
    dark = workspace.folder / "data" / "Dataset" / "testing_videos" / "03" / "frame_00002.jpg"
    cv2.imwrite(str(dark), cv2.imread(str(dark)) // 2)
    (workspace.folder / "blocks" / "_scratch.py").write_text("this is no Python")
    edit("small: {model: fully_conv_ae, size: 32, output: tanh,", "small: {model: my_net, width: 4, size: 32,")
    edit("[{gaussian: 1}, {normalize: 100}]", "[{hold: 3}]")
    edit("loss: mse", "loss: charbonnier")
    edit("name: tiny", "name: tiny\nrepair: brighten")
    return workspace.folder


def test_they_train_register_and_score_where_the_folder_is_not(project):
    ran = apart(project, "run", "tiny", "--data", "data")
    assert ran.returncode == 0 and "repair brighten: 1 of 30 test frames" in ran.stderr, ran.stderr
    done(project, "submit", "--out", "before.csv")
    changed = NET.replace("relu()", "sigmoid()")
    (project / "blocks" / "my_net.py").write_text(changed)
    assert "blocks/my_net.py" in done(project, "why", "tiny", "--data", "data")
    done(project, "submit", "--out", "changed.csv")
    shutil.move(project / "blocks", project / "elsewhere")
    done(project, "submit", "--out", "without.csv")
    before = (project / "before.csv").read_bytes()
    assert (project / "changed.csv").read_bytes() == before
    assert (project / "without.csv").read_bytes() == before
    assert "bit for bit the same" in done(
        project, "reproduce", "tiny", VAD_BLOCKS="nowhere"
    )  # with the blocks that the run kept
    refused = apart(project, "check", "tiny")
    assert refused.returncode == 2 and 'unknown model "my_net"' in refused.stderr
    assert "there is no folder blocks/ here: a block of your own goes into a Python file in it" in refused.stderr
    assert "(docs/extending.md)" in refused.stderr
    assert "3 members" in done(project, "check", "tiny", VAD_BLOCKS="elsewhere")


@pytest.mark.parametrize(
    ("file", "old", "new", "trained"),
    [
        ("charbonnier.py", "1e-6", "1e-2", 3),
        ("hold.py", "maximum_filter1d(values", "maximum_filter1d(2 * values", 0),
        ("brighten.py", "image + lacking", "image + lacking / 2", 0),
    ],
)
def test_a_change_of_a_block_makes_anew_what_it_decides_and_a_comment_nothing(project, file, old, new, trained):
    """A loss decides weights; a repair of test frames and a step decide scores alone."""
    done(project, "run", "tiny", "--data", "data")
    path = project / "blocks" / file
    text = path.read_text()
    path.write_text(f"# a comment\n{text}")
    assert "tiny is done already" in apart(project, "run", "tiny", "--data", "data").stderr
    assert old in text
    path.write_text(text.replace(old, new))
    assert f"blocks/{file}" in done(project, "why", "tiny", "--data", "data")
    again = apart(project, "run", "tiny", "--data", "data")
    assert again.returncode == 0 and "is done already" not in again.stderr, again.stderr
    assert again.stderr.count("to train:") == trained and again.stderr.count("from run") == 3 - trained


def test_an_unknown_block_names_the_folder_that_was_searched(project, edit_entry):
    edit_entry("model: my_net, width: 4", "model: my_nett, width: 4")
    edit_entry("error: max", "error: largest")
    refused = apart(project, "check", "tiny")
    lines = refused.stderr.splitlines()
    for unknown in ('unknown model "my_nett"; did you mean "my_net"?', 'unknown error "largest"'):
        (line,) = [line for line in lines if unknown in line]
        assert (
            "your own blocks were looked for in blocks/ (brighten.py, charbonnier.py, hold.py, my_net.py)" in line
            and "docs/extending.md" in line
        )
    shutil.move(project / "blocks", project / "elsewhere")
    assert (
        "were looked for in elsewhere/ (brighten.py, charbonnier.py, hold.py, my_net.py)"
        in apart(project, "check", "tiny", VAD_BLOCKS="elsewhere").stderr
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nowhere\n", "a block cannot be imported: blocks/hold.py, line 1: ModuleNotFoundError: "),
        (STEP.replace('"hold"', '"mean"'), "a block cannot be imported: blocks/hold.py, line "),
        ("def hold(:\n", "a block cannot be imported: blocks/hold.py, line 1: SyntaxError: "),
    ],
)
def test_a_block_that_cannot_be_imported_is_told_with_its_place(project, text, said):
    (project / "blocks" / "hold.py").write_text(text)
    result = apart(project, "check", "tiny")
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("width: Annotated[int, Within(low=1)] = 8", "width=8", 'annotate its option "width" with int, float'),
        ("self.up(self.down(frames).relu()).tanh()", "frames", "gives what does not depend on its weights"),
        (".relu()).tanh()", ".relu()) / 0.0", "gives NaN or infinite values"),
    ],
)
def test_a_network_that_cannot_train_is_found_by_check(project, old, new, said):
    assert old in NET
    (project / "blocks" / "my_net.py").write_text(NET.replace(old, new))
    result = apart(project, "check", "tiny")
    assert result.returncode == 2 and said in result.stderr and "my_net" in result.stderr


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("", "loss charbonnier gives (2, 3, 32, 32), but must give a tensor of one number"),
        (".mean().item()", "loss charbonnier gives a float, but must give a tensor of one number"),
        (".mean() * float('nan')", "loss charbonnier gives NaN or infinite values"),
        (".mean().detach()", "gives what does not depend on its weights; see its forward, and the loss"),
    ],
)
def test_a_loss_that_cannot_be_made_small_is_found_by_check(project, new, said):
    (project / "blocks" / "charbonnier.py").write_text(LOSS.replace(".mean()", new))
    result = apart(project, "check", "tiny")
    assert result.returncode == 2 and said in result.stderr


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("(output - target).nothing()", 'score "worst" fails: blocks/worst.py, line 6: AttributeError'),
        ("(output - target).square()", 'score "worst" gives (2, 3, 32, 32) for two frames, but must give one number a'),
    ],
)
def test_an_error_that_gives_no_number_a_frame_is_found_by_check(project, edit_entry, body, said):
    """Else it would be after the training."""
    imports = "from vad.detectors.networks import ERRORS\n\n\n"
    text = f'@ERRORS.register("worst")\ndef worst(output, target):\n    return {body}\n'
    (project / "blocks" / "worst.py").write_text(imports + text)
    edit_entry("error: max", "error: worst")
    result = apart(project, "check", "tiny")
    assert result.returncode == 2 and f"tiny.yaml, line 11: streams.small: {said}" in result.stderr, result.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (".astype(np.uint8) if lacking > 20 else image)", " + 0.5)", "float64 (48, 64, 3) and the evidence "),
        ("lacking - 20\n", "None\n", "uint8 (48, 64, 3) and the evidence None"),
    ],
)
def test_a_repair_that_gives_no_frame_or_no_evidence_is_named(project, old, new, said):
    assert old in REPAIR
    (project / "blocks" / "brighten.py").write_text(REPAIR.replace(old, new))
    result = apart(project, "run", "tiny", "--data", "data")
    assert result.returncode == 2, result.stderr
    assert f'repair "brighten" gives {said}' in result.stderr


def test_an_input_that_gives_other_samples_than_it_says_is_named(project, edit_entry):
    (project / "blocks" / "grey.py").write_text("""
from vad.inputs.base import INPUTS, Batch, Input
from vad.inputs.frames import FrameSamples
from vad.inputs.shape import Shape, Window


class Grey(FrameSamples):
    def batch(self, which):
        whole = super().batch(which)
        return Batch(whole.given[:, :1], whole.target[:, :1])


@INPUTS.register("grey")
def grey():
    return Input(lambda view: Shape("frame", 3, view.height, view.width), Grey, Window())
""")
    edit_entry("width: 4, size: 32,", "width: 4, size: 32, input: grey,")
    result = apart(project, "run", "tiny", "--data", "data")
    assert result.returncode == 2, result.stderr
    assert 'input "grey" gives samples of (1, 32, 32), but its shape is (3, 32, 32)' in result.stderr


def test_a_folder_of_blocks_that_is_not_there_is_refused(project):
    result = apart(project, "check", "tiny", VAD_BLOCKS="nowhere")
    assert result.returncode == 2 and "VAD_BLOCKS=nowhere is not a folder" in result.stderr
