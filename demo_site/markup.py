"""Converts the markup of the content files to Wagtail's rich text.

    ## A heading            - an item of a list         1. an item of a numbered list
    **bold**  *italic*      [words](/path/of/a/page/)   [words](https://…)

Paths become links to page ids, so that they survive a move.
"""

import html
import re
from collections.abc import Mapping

LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
BOLD = re.compile(r"\*\*(.+?)\*\*")
ITALIC = re.compile(r"\*(.+?)\*")


class UnknownPage(ValueError):
    """A content file links to a path without a page."""


def rich_text(source: str, page_ids: Mapping[str, int]) -> str:
    """Convert marked-up text. `page_ids` maps the paths of all pages to their ids."""
    return "".join(_block(block, page_ids) for block in re.split(r"\n\s*\n", source.strip()))


def _block(block: str, page_ids: Mapping[str, int]) -> str:
    lines = [line.strip() for line in block.splitlines()]
    if lines[0].startswith("## "):
        return f"<h2>{_inline(lines[0][3:], page_ids)}</h2>"
    if lines[0].startswith("### "):
        return f"<h3>{_inline(lines[0][4:], page_ids)}</h3>"
    if lines[0].startswith("- "):
        return f"<ul>{_items(lines, r'- ', page_ids)}</ul>"
    if re.match(r"\d+\. ", lines[0]):
        return f"<ol>{_items(lines, r'[0-9]+[.] ', page_ids)}</ol>"
    return f"<p>{_inline(' '.join(lines), page_ids)}</p>"


def _items(lines: list[str], mark: str, page_ids: Mapping[str, int]) -> str:
    items: list[str] = []
    for line in lines:
        if re.match(mark, line):
            items.append(re.sub(f"^{mark}", "", line))
        else:  # continued from the previous line
            items[-1] += f" {line}"
    return "".join(f"<li>{_inline(item, page_ids)}</li>" for item in items)


def _inline(text: str, page_ids: Mapping[str, int]) -> str:
    def link(match: re.Match) -> str:
        words, target = match.groups()
        if not target.startswith("/"):
            return f'<a href="{target}">{words}</a>'
        try:
            return f'<a linktype="page" id="{page_ids[target]}">{words}</a>'
        except KeyError:
            raise UnknownPage(f"No page at {target}, which “{words}” links to.") from None

    text = LINK.sub(link, html.escape(text, quote=False))
    return ITALIC.sub(r"<i>\1</i>", BOLD.sub(r"<b>\1</b>", text))
