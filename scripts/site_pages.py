"""MkDocs hook: the README is the home page, and links to files outside of docs/ become their names."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig  # type: ignore[import-not-found]
from mkdocs.structure.files import File, Files  # type: ignore[import-not-found]
from mkdocs.structure.pages import Page  # type: ignore[import-not-found]

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as index.md, its links as seen from docs/."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    seen = LINK.sub(_from_docs, text)
    files.append(File.generated(config, "index.md", content=seen))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Leave out the targets that the site does not have."""
    folder = Path(page.file.src_uri).parent

    def inside(link: re.Match[str]) -> str:
        target = link[3].partition("#")[0]
        place = (ROOT / "docs" / folder / target).resolve()
        if target and not place.is_relative_to(ROOT / "docs"):
            return f"`{place.relative_to(ROOT)}`"
        return link[0]

    return LINK.sub(inside, markdown)


def _from_docs(link: re.Match[str]) -> str:
    target = link[3]
    if target == "docs/adr":
        return f"{link[1]}[{link[2]}](adr/0001-write-decisions-down.md)"
    seen = target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"
    return f"{link[1]}[{link[2]}]({seen})"
