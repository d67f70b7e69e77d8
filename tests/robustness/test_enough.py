"""How many cases there are: the examples of every test that draws them."""

import ast
from pathlib import Path


def test_there_are_thousands_of_cases():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("test_*.py")]
    keywords = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    drawn = [
        node.value.value for node in keywords if node.arg == "max_examples" and isinstance(node.value, ast.Constant)
    ]
    assert sum(drawn) >= 4000
