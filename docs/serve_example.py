"""Print the scores of a folder's frames by the model that `make serve` serves: python serve_example.py FOLDER VIDEO [ADDRESS]"""

import base64
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

folder, video = Path(sys.argv[1]), int(sys.argv[2])
address = sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:5001/invocations"
rows = []
for path in sorted(folder.glob("*.jpg")):
    frame = int(re.findall(r"\d+", path.stem)[-1])
    rows.append([video, frame, base64.b64encode(path.read_bytes()).decode()])
table = {"columns": ["video", "frame", "image"], "data": rows}
question = json.dumps({"dataframe_split": table, "params": {"normalization": "stored"}})
request = urllib.request.Request(address, question.encode(), {"Content-Type": "application/json"})
try:
    answer = json.load(urllib.request.urlopen(request))
except urllib.error.HTTPError as error:  # 400: the message names the row
    sys.exit(json.load(error)["message"])
for row in answer["predictions"]:
    print(row["video"], row["frame"], row["score"])
