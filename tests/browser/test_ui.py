"""MLflow's own UI as people see it: the leaderboard, a run with its pictures, the registered model."""

import json
import re

import pytest

# A row of the table lies in two containers, a fixed one and one that scrolls; they share the row's number.
_TABLE = """(names) => {
  const columns = Object.fromEntries([...document.querySelectorAll('[role=columnheader][col-id]')]
    .map(head => [head.innerText.trim(), head.getAttribute('col-id')]));
  const rows = {};
  for (const cell of document.querySelectorAll('[role=gridcell][col-id]')) {
    const row = cell.closest('[row-index]').getAttribute('row-index');
    (rows[row] ??= {})[cell.getAttribute('col-id')] = cell.innerText.trim();
  }
  return Object.keys(rows).sort((a, b) => a - b).map(row => names.map(name => rows[row][columns[name]]));
}"""


@pytest.fixture
def board(shown):
    """The leaderboard of the command line, best first."""
    return json.loads(shown.store.done("leaderboard", "--json"))


@pytest.fixture
def opened(shown, board, page):
    """The page that the printed link opens, once its table is there."""
    page.goto(shown.link)
    page.get_by_role("link", name=board[-1]["entry"], exact=True).wait_for()
    return page


def test_the_printed_link_opens_the_leaderboard(opened, board, keep):
    opened.get_by_role("columnheader", name=board[0]["figure"], exact=True).first.wait_for()
    rows = [
        (name.split()[-1], float(value)) for name, value in opened.evaluate(_TABLE, ["Run Name", board[0]["figure"]])
    ]
    keep("leaderboard")
    # Entries alone: where members are not folded, their rows follow.
    assert [name for name, _ in rows] == [row["entry"] for row in board]
    assert [value for _, value in rows] == pytest.approx([row["value"] for row in board], abs=5e-5)
    assert len({value for _, value in rows}) == len(rows) > 3, "an order of equals shows nothing"


def test_a_run_shows_hypothesis_result_and_pictures(opened, shown, board, tmp_path, keep):
    opened.get_by_role("link", name=board[0]["entry"], exact=True).click()
    opened.get_by_text("A red box does not belong here.").first.wait_for()
    if (more := opened.get_by_text("Show more", exact=True)).count():
        more.first.click()
    opened.get_by_text(re.compile(rf"{board[0]['value']:.4f}(?!\d)")).first.wait_for()
    keep("run")

    opened.get_by_role("tab", name="Artifacts").click()
    opened.get_by_text("pictures", exact=True).click()
    opened.get_by_text("timelines.png", exact=True).click()
    # The viewer fetches a file and shows it from memory: the picture is known by its width.
    path = shown.store.tracking().fetch(board[0]["run_id"], "pictures/timelines.png", tmp_path)
    width = int.from_bytes(path.read_bytes()[16:20])
    opened.wait_for_function(f"[...document.images].some(image => image.naturalWidth == {width})")
    keep("picture")


def test_the_model_page_shows_versions_and_production(shown, board, page, keep):
    page.goto(f"{shown.address}/#/models/vad-ensemble?workflowType=machine_learning")
    page.get_by_role("heading", name="vad-ensemble").wait_for()
    page.get_by_role("link", name="Version 1", exact=True).wait_for()
    keep("model")
    rows = [row.inner_text().split("\n") for row in page.get_by_role("row").all()]
    shown_aliases = {row[0]: [line[1:].strip() for line in row if line.startswith("@")] for row in rows[1:]}
    numbers = {f"Version {row['model'].split()[0].removeprefix('v')}": row["model"].split()[1:] for row in board}
    assert shown_aliases == numbers
    assert sum("production" in aliases for aliases in numbers.values()) == 1
