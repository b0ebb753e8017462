"""StreamFields as plain text, block by block."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import Model
from wagtail import blocks
from wagtail.contrib.table_block.blocks import TableBlock
from wagtail.contrib.typed_table_block.blocks import TypedTableBlock

from .fields import is_styling
from .markup import clean, html_to_text, join, write_out
from .mentions import has_mention, mention_object
from .tables import MAX_LINE, Cell, table_lines

logger = logging.getLogger("finetune_switch.index")

# Names of block fields with the id of the HTML element.
ANCHORS = ("anchor", "anchor_id")
MAX_ANCHOR = 255
# Wagtail's search ignores these, but visitors ask for prices, times and addresses.
_TIME_BLOCKS = (blocks.DateBlock, blocks.DateTimeBlock, blocks.TimeBlock)
_FIGURE_BLOCKS = (*_TIME_BLOCKS, blocks.DecimalBlock, blocks.FloatBlock, blocks.IntegerBlock)
# The choice of a size or a colour is no text.
_CHOICE_BLOCKS = (blocks.ChoiceBlock, blocks.MultipleChoiceBlock)
_NO_TEXT = re.compile(
    r"#(?:[0-9a-f]{3,4}){1,2}|(?:rgb|hsl)a?\([^)]*\)|var\([^)]*\)|(?:https?:/)?/\S+"
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",
    re.IGNORECASE,
)
_VALUE_BLOCKS = (*_FIGURE_BLOCKS, blocks.EmailBlock, blocks.RegexBlock)


def stream_texts(
    value: Iterable[Any], *, left_out: Collection[str] = (), block_anchor: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the text and the anchor of each block with text.

    Lines that follow each other, such as the steps of a recipe, are one text. ``left_out`` has
    names of excluded blocks, at any depth. Blocks that raise an exception are logged and skipped.
    """
    shown = (child for child in value if child.block_type not in left_out)
    for _block_type, run in groupby(shown, key=lambda child: child.block_type):
        children = list(run)
        found = list(_texts_of(children, left_out, block_anchor))
        if len(found) > 1 and isinstance(children[0].block, blocks.CharBlock):
            yield "\n".join(" ".join(text.split()) for text, _anchor in found), found[0][1]
        else:
            yield from found


def _texts_of(
    children: Iterable[Any], left_out: Collection[str], block_anchor: str
) -> Iterator[tuple[str, str]]:
    for child in children:
        try:
            text = block_text(child.block, child.value, left_out)
            if "\n" in text and _is_list_of_lines(child.block):
                text = f"{child.block.label}:\n{text}"
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


def _is_list_of_lines(block: Any) -> bool:
    return isinstance(block, blocks.ListBlock) and isinstance(block.child_block, blocks.CharBlock)


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
    # Use the project's own get_searchable_content(), unless its text may contain excluded blocks.
    if _has_own_content(block) and not _has_any(block, left_out):
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
        return _list(block.child_block, value, left_out)
    if isinstance(block, blocks.RichTextBlock):
        return html_to_text(value.source)
    if isinstance(block, blocks.RawHTMLBlock):
        return html_to_text(str(value))
    if isinstance(block, TableBlock):
        return _table(value, html=block.is_html_renderer())
    if isinstance(block, TypedTableBlock):
        return _typed_table(value, left_out)
    if isinstance(block, _CHOICE_BLOCKS):
        return ""
    text = write_out(value) if isinstance(block, _VALUE_BLOCKS) else _searchable(block, value)
    return "" if _is_no_text(block.name, text) else text


def _searchable(block: Any, value: Any) -> str:
    return _join_content(block.get_searchable_content(value))


def _is_no_text(name: str, text: str) -> bool:
    """Whether a value is an address, a colour, or one that styles or identifies a block."""
    text = text.strip()
    return bool(_NO_TEXT.fullmatch(text)) or (is_styling(name) and len(text.split()) < 2)


def _cell_text(block: Any, value: Any, left_out: Collection[str]) -> str:
    """The text of a value in a table, where choices are read by visitors."""
    is_choice = isinstance(block, _CHOICE_BLOCKS) and value is not None
    text = _searchable(block, value) if is_choice else block_text(block, value, left_out)
    return " ".join(text.split())


def _list(child: Any, values: Iterable[Any], left_out: Collection[str]) -> str:
    """The items as lines, or as paragraphs if one of them is long."""
    rows = [_row(child, value, left_out) for value in values]
    if None not in rows:
        return "\n".join(filter(None, rows))
    items = list(filter(None, (block_text(child, value, left_out) for value in values)))
    # A mentioned title may be empty.
    if len(items) < 2 or any(has_mention(item) for item in items):
        return join(items)
    lines = [_as_line(item) for item in items]
    return join(items) if any(len(line) > MAX_LINE for line in lines) else join(lines)


def _row(block: Any, value: Any, left_out: Collection[str]) -> str | None:
    """A struct with a figure, date or time as ``Item: Wren, Price: 40``; ``None`` for others."""
    if not isinstance(block, blocks.StructBlock) or _has_own_content(block):
        return None
    fields = {
        name: child
        for name, child in block.child_blocks.items()
        if name not in left_out and getattr(child, "search_index", True)
    }
    if not any(isinstance(child, _FIGURE_BLOCKS) for child in fields.values()):
        return None
    # The day of opening hours may be a choice.
    is_timed = any(isinstance(child, _TIME_BLOCKS) for child in fields.values())
    parts = []
    for name, child in fields.items():
        read = _cell_text if is_timed and not is_styling(name) else block_text
        text = " ".join(read(child, value.get(name), left_out).split())
        if len(text) > MAX_LINE:
            return None
        if text:
            parts.append(f"{child.label}: {text}")
    return ", ".join(parts)


def _as_line(text: str) -> str:
    """The first line as a heading of the others: ``Knead: Ten minutes. By hand.``"""
    first, *others = [line for line in text.splitlines() if line.strip()] or [""]
    if not others:
        return first
    separator = " " if first.rstrip()[-1:] in ".!?:…。！？" else ": "
    return f"{first.rstrip()}{separator}{' '.join(others)}"


def _join_content(content: Any) -> str:
    parts = [content] if isinstance(content, str) else content or ()
    # Safe strings are markup.
    return join(
        html_to_text(part) if hasattr(part, "__html__") else clean(str(part)) for part in parts
    )


def _is_anchor(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not any(map(str.isspace, value))


def _has_own_content(block: Any) -> bool:
    """Whether the project, not Wagtail, defines ``get_searchable_content()`` of its class."""
    block_class: Any = type(block)
    return _defines_content(block_class)


@lru_cache(maxsize=1024)
def _defines_content(block_class: Any) -> bool:
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
    def text(content: Any) -> str:
        plain = "" if content is None else str(content)
        return " ".join((html_to_text(plain) if html else clean(plain)).split())

    choice = value.get("table_header_choice")
    has_header = choice in ("row", "both") or bool(value.get("first_row_is_table_header"))
    has_row_headers = choice in ("column", "both") or bool(value.get("first_col_is_header"))
    spans = {(span["row"], span["col"]): span for span in value.get("mergeCells") or ()}
    covered = {
        (row, column)
        for (top, left), span in spans.items()
        for row in range(top, top + span["rowspan"])
        for column in range(left, left + span["colspan"])
    } - spans.keys()
    rows = [
        [
            Cell(
                text(content),
                (has_header and top == 0) or (has_row_headers and left == 0),
                spans.get((top, left), {}).get("colspan", 1),
                spans.get((top, left), {}).get("rowspan", 1),
            )
            for left, content in enumerate(row)
            if (top, left) not in covered
        ]
        for top, row in enumerate(value.get("data") or ())
    ]
    # Wagtail reads a missing choice as "neither".
    is_untold = "first_row_is_table_header" not in value and not has_row_headers
    return _captioned(value.get("table_caption"), table_lines(rows, guess_header=is_untold))


def _typed_table(value: Any, left_out: Collection[str]) -> str:
    shown = [
        index for index, column in enumerate(value.columns) if column["block"].name not in left_out
    ]
    rows = [[Cell(clean(value.columns[index]["heading"] or ""), True) for index in shown]]
    for row in value.row_data:
        texts = [
            _cell_text(value.columns[index]["block"], row["values"][index], left_out)
            for index in shown
        ]
        rows.append([Cell(text) for text in texts])
    return _captioned(value.caption, table_lines(rows))


def _captioned(caption: str | None, lines: list[str]) -> str:
    return "\n\n".join(filter(None, [clean(caption or ""), "\n".join(lines)]))
