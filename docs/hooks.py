"""Make a site of pages that also read well on a forge: the README as the front page, files of the repository by their paths."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).parents[1]
_OUTSIDE = re.compile(r"(?<!!)\[[^\]]+\]\((?:\.\./)?([^)#:]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as index.md and CONTRIBUTING.md, their links as seen from docs/."""
    for source, page in (("README.md", "index.md"), ("CONTRIBUTING.md", "contributing.md")):
        text = (PROJECT / source).read_text().replace("](docs/", "](").replace("(CONTRIBUTING.md)", "(contributing.md)")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Show the path of a file that the site does not hold in place of a link to it."""

    def path(match: re.Match[str]) -> str:
        target = match[1]
        inside = (PROJECT / "docs" / target).exists() and "/" not in target and target.endswith(".md")
        return match[0] if inside or target in ("index.md", "contributing.md") else f"`{target}`"

    return _OUTSIDE.sub(path, markdown)
