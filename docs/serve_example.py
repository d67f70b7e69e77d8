"""Print the scores of a folder's frames by the model that `make serve` serves: python serve_example.py FOLDER VIDEO [ADDRESS]

ADDRESS is the one that `make serve` printed, http://127.0.0.1:5001/invocations by default.
"""

import base64
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

FORMATS = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def refuse(message: str) -> None:
    """End with one line and exit status 2."""
    print(message, file=sys.stderr)
    sys.exit(2)


if len(sys.argv) not in (3, 4):
    refuse(
        "usage: python serve_example.py FOLDER VIDEO [ADDRESS]; VIDEO is a number or a name, FOLDER holds its frames"
    )
folder, video = Path(sys.argv[1]), sys.argv[2]
address = sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:5001/invocations"
rows = []
for path in sorted(folder.iterdir()) if folder.is_dir() else []:
    if path.suffix.lower() not in FORMATS or path.name.startswith("."):
        continue
    if not (numbers := re.findall(r"\d+", path.stem)):
        refuse(f"{path} has no frame number in its name")
    rows.append([video, int(numbers[-1]), base64.b64encode(path.read_bytes()).decode()])
if not rows:
    refuse(
        f"FOLDER={folder} holds no frame ({', '.join(sorted(FORMATS))})"
        if folder.is_dir()
        else f"FOLDER={folder} is not a folder"
    )
table = {"columns": ["video", "frame", "image"], "data": rows}
question = json.dumps({"dataframe_split": table, "params": {"normalization": "stored"}})
try:
    request = urllib.request.Request(address, question.encode(), {"Content-Type": "application/json"})
    answer = json.load(urllib.request.urlopen(request))
except urllib.error.HTTPError as error:  # 400: the message names the row
    refuse(error.read().decode(errors="replace") if error.code != 400 else json.load(error)["message"])
except (OSError, ValueError) as error:
    refuse(f"{address} does not answer with scores ({error}); is `make serve` running, and on this port?")
for row in answer["predictions"]:
    print(row["video"], row["frame"], row["score"])
