"""What tests of the index share: building it, and what an anonymous visitor finds in it."""

from __future__ import annotations

from typing import Any

from demo_site.standin import StandIn
from finetune_switch.askers import Asker
from finetune_switch.index.building import run_build
from finetune_switch.index.builds import start_build
from finetune_switch.models import IndexBuild
from finetune_switch.retrieval import retrieve

ANYTHING = -1.0


def build(*, changed_only: bool = False) -> IndexBuild:
    """Run a whole build, and insist that it worked."""
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
