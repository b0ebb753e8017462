"""What tests of the index share: building it, and what an anonymous visitor finds in it."""

from __future__ import annotations

from typing import Any

from wagtail import blocks

from demo_site.standin import StandIn
from finetune_switch.access import Asker
from finetune_switch.index.blocks import block_text
from finetune_switch.index.building import run_build
from finetune_switch.index.builds import start_build
from finetune_switch.index.content import Content
from finetune_switch.index.markup import html_to_text, tidy
from finetune_switch.index.mentions import fill_in
from finetune_switch.models import IndexBuild
from finetune_switch.search import retrieve

ANYTHING = -1.0


def build(*, changed_only: bool = False) -> IndexBuild:
    """Run a whole build, and call_with_retries that it worked."""
    done = run_build(start_build(changed_only=changed_only))
    assert done.status == IndexBuild.Status.COMPLETE, done.error
    return done


def counts(done: IndexBuild) -> tuple[int, int, int, int]:
    return done.added, done.kept, done.removed, done.failed


def titles(question: str = "harbour", asker: Asker | None = None, **options: Any) -> set[str]:
    """The titles of every page that the asker can find at all."""
    options = {"limit": 200, "threshold": ANYTHING, "indexes": ["pages"], **options}
    found = retrieve(question, asker=asker or Asker.anonymous(), **options)
    return {passage.source.title for passage in found}


def embedded(standin: StandIn) -> list[str]:
    """Every text whose vector the stand-in was asked for."""
    return [text for request in standin.requests for text in request.json["input"]]


def texts_of(content: Content) -> list[str]:
    return [section.text for section in content.sections]


def said(block: blocks.Block, value: Any, left_out: tuple[str, ...] = ()) -> str:
    """What is read of a block's value, as it comes out of the database."""
    return tidy(fill_in([block_text(block, block.to_python(value), left_out)])[0])


def plain(html: str) -> str:
    return tidy(html_to_text(html))
