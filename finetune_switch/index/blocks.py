"""StreamFields as plain text, block by block."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import Model
from wagtail import blocks
from wagtail.contrib.table_block.blocks import TableBlock
from wagtail.contrib.typed_table_block.blocks import TypedTableBlock

from .markup import CELL_SEPARATOR, clean, html_to_text, join, write_out
from .mentions import mention_object

logger = logging.getLogger("finetune_switch.index")

# Names of block fields with the id of the HTML element.
ANCHORS = ("anchor", "anchor_id")
MAX_ANCHOR = 255
# Wagtail's search ignores these, but visitors ask for prices, times and addresses.
_VALUE_BLOCKS = (
    blocks.DateBlock,
    blocks.DateTimeBlock,
    blocks.DecimalBlock,
    blocks.EmailBlock,
    blocks.FloatBlock,
    blocks.IntegerBlock,
    blocks.RegexBlock,
    blocks.TimeBlock,
)


def stream_texts(
    value: Iterable[Any], *, left_out: Collection[str] = (), block_anchor: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the text and the anchor of each block with text.

    ``left_out`` has names of excluded blocks, at any depth. Blocks that raise an exception are
    logged and skipped.
    """
    for child in value:
        if child.block_type in left_out:
            continue
        try:
            text = block_text(child.block, child.value, left_out)
            if text:
                yield text, anchor_of(child, block_anchor)
        except (InterfaceError, OperationalError):
            raise
        except Exception:
            logger.warning(
                "The block %r (%s) is left out of the index: it cannot be read.",
                child.block_type,
                child.id,
                exc_info=True,
            )


def anchor_of(child: Any, block_anchor: str) -> str:
    """The id of the block's HTML element; empty if unknown."""
    anchor = ""
    if block_anchor:
        anchor = block_anchor.format(id=child.id) if child.id else ""
    elif isinstance(child.value, Mapping):
        values = (str(child.value.get(name) or "").strip().lstrip("#") for name in ANCHORS)
        anchor = next(filter(_is_anchor, values), "")
    return anchor if len(anchor) <= MAX_ANCHOR else ""


def block_text(block: Any, value: Any, left_out: Collection[str] = ()) -> str:
    """The plain text of a block value, with mentions of the chosen objects (see ``mentions``)."""
    if value is None or not getattr(block, "search_index", True):
        return ""
    block_class: Any = type(block)
    # Use the project's own get_searchable_content(), unless its text may contain excluded blocks.
    if _has_own_content(block_class) and not _has_any(block, left_out):
        return _join_content(block.get_searchable_content(value))
    if isinstance(value, Model):
        return mention_object(value)
    if isinstance(block, blocks.StructBlock):
        return join(
            block_text(child, value.get(name), left_out)
            for name, child in block.child_blocks.items()
            if name not in left_out and not (name in ANCHORS and _is_anchor(value.get(name)))
        )
    if isinstance(block, blocks.StreamBlock):
        return join(
            block_text(child.block, child.value, left_out)
            for child in value
            if child.block_type not in left_out
        )
    if isinstance(block, blocks.ListBlock):
        return join(block_text(block.child_block, item, left_out) for item in value)
    if isinstance(block, blocks.RichTextBlock):
        return html_to_text(value.source)
    if isinstance(block, blocks.RawHTMLBlock):
        return html_to_text(str(value))
    if isinstance(block, TableBlock):
        return _table(value, html=block.is_html_renderer())
    if isinstance(block, TypedTableBlock):
        return _typed_table(value, left_out)
    if isinstance(block, _VALUE_BLOCKS):
        return write_out(value)
    return _join_content(block.get_searchable_content(value))


def _join_content(content: Any) -> str:
    parts = [content] if isinstance(content, str) else content or ()
    # Safe strings are markup.
    return join(
        html_to_text(part) if hasattr(part, "__html__") else clean(str(part)) for part in parts
    )


def _is_anchor(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not any(map(str.isspace, value))


@lru_cache(maxsize=1024)
def _has_own_content(block_class: type[Any]) -> bool:
    """Whether the project, not Wagtail, defines ``get_searchable_content()`` of this class."""
    owner = next(base for base in block_class.__mro__ if "get_searchable_content" in vars(base))
    return not owner.__module__.startswith("wagtail.")


def _has_any(block: Any, names: Collection[str]) -> bool:
    if not names:
        return False
    children = dict(getattr(block, "child_blocks", {}))
    if (item := getattr(block, "child_block", None)) is not None:
        children[item.name] = item
    return any(name in names or _has_any(child, names) for name, child in children.items())


def _table(value: Mapping[str, Any], *, html: bool) -> str:
    def cell(content: Any) -> str:
        text = "" if content is None else str(content)
        return html_to_text(text) if html else clean(text)

    rows = [[cell(content) for content in row] for row in value.get("data") or ()]
    return _rows(value.get("table_caption"), rows)


def _typed_table(value: Any, left_out: Collection[str]) -> str:
    shown = [
        index for index, column in enumerate(value.columns) if column["block"].name not in left_out
    ]
    rows = [[clean(value.columns[index]["heading"] or "") for index in shown]]
    for row in value.row_data:
        rows.append(
            [
                block_text(value.columns[index]["block"], row["values"][index], left_out)
                for index in shown
            ]
        )
    return _rows(value.caption, rows)


def _rows(caption: str | None, rows: Iterable[list[str]]) -> str:
    lines = [
        CELL_SEPARATOR.join(" ".join(cell.split()) for cell in row) for row in rows if any(row)
    ]
    return "\n".join([clean(caption), *lines] if caption else lines)
