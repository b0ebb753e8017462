"""Which questions of a run a user may read: those whose passages and pages they may all open."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

from django.http import HttpRequest

from finetune_switch.access import Asker
from finetune_switch.access.source_access import SourceAccess
from finetune_switch.access.visibility import page_model
from finetune_switch.models import Run, RunQuestion
from finetune_switch.passages import Source


class RunReader:
    """A user who reads a run. Each source is looked up once.

    The reference answer was made from pages as well, so those count like passages. Pages that were
    deleted close an answer that was made from them, but not a reference.
    """

    def __init__(self, user: Any, asker: Asker, run: Run) -> None:
        self.user = user
        self.run = run
        self._access = SourceAccess(asker)

    @classmethod
    def of(cls, request: HttpRequest, run: Run) -> Self:
        return cls(request.user, Asker.from_request(request), run)

    def may_read(self, questions: Sequence[RunQuestion]) -> set[int]:
        """Primary keys of the questions whose answers the user may read now."""
        pages = self._existing({pk for question in questions for pk in question.page_ids})
        sources = {
            question.pk: [
                *(passage.source for passage in question.frozen_passages),
                *(self._page_source(pk) for pk in question.page_ids if pk in pages),
            ]
            for question in questions
        }
        site = self.run.site
        self._access.look_up({one for found in sources.values() for one in found}, site)
        return {pk for pk, found in sources.items() if self._access.are_open(found, site)}

    @cached_property
    def _page_label(self) -> str:
        return str(page_model()._meta.label_lower)

    def _page_source(self, pk: int) -> Source:
        return Source("", "", self._page_label, str(pk))

    def _existing(self, ids: set[int]) -> set[int]:
        found = page_model()._default_manager.filter(pk__in=ids) if ids else ()
        return {page.pk for page in found}
