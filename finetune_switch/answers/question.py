"""One question: what is asked, by whom, and how it is to be answered."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from wagtail.models import Site

from finetune_switch import conf
from finetune_switch.access import Asker
from finetune_switch.access.sites import current_request, site_for
from finetune_switch.access.source_access import SourceAccess
from finetune_switch.exceptions import BackendError
from finetune_switch.messages import Message, Turn
from finetune_switch.models import ChatBackend, Exchange, Origin, Switch
from finetune_switch.models.exchange import clean_question
from finetune_switch.passages import Passage
from finetune_switch.text.masking import Masking

from .events import FailedEvent
from .followups import clean_turns

logger = logging.getLogger("finetune_switch.answering")


@dataclass
class AskedQuestion:
    """A question and everything that says how it is to be answered; see :func:`.api.answer`."""

    question: str
    locale: str = ""
    asker: Asker = field(default_factory=Asker.anonymous)
    origin: Origin = Origin.SITE
    site: Site | None = None
    request: HttpRequest | None = None
    indexes: Sequence[str] | None = None
    backend: ChatBackend | None = None
    passages: Sequence[Passage] | None = None
    retrieval: bool = True
    instructions: str = ""
    """For the model, in place of its backend's own instructions."""
    messages: Sequence[Message] | None = None
    fact_lock: bool = False
    prepared: bool = False
    exchange_id: uuid.UUID | None = None
    """The asker's own id. A question with a known id is replayed from the record, not asked."""
    conversation: uuid.UUID | None = None
    """Shared by the questions of one conversation; recorded."""
    turns: Sequence[Turn] = ()
    switch: Switch | None = None
    """The site's switch, where it was read already."""
    visitor: str = ""
    """The hash that stands for a visitor in the record."""

    def __post_init__(self) -> None:
        self.question = clean_question(self.question)
        self.turns = clean_turns(self.turns)
        self.locale = self.locale or get_language() or ""
        # Now, since the events may be read when the request's context is gone.
        self.request = self.request or current_request()

    def in_its_language(self) -> override:
        """Texts are made in the language of the question: who reads may have another one active."""
        return override(self.locale or settings.LANGUAGE_CODE)

    def unforeseen(self, error: BaseException) -> BackendError:
        """A sentence for a failure that nobody foresaw; what it was goes to the log alone."""
        logger.error("A question could not be answered.", exc_info=error)
        with self.in_its_language():
            return BackendError(
                _("Something went wrong while answering."),
                code="internal",
                remedy=_("The site's log says more."),
            )

    def could_not_open(self, error: Exception) -> FailedEvent:
        """The only event of a question that could not even be recorded."""
        failure = self.unforeseen(error)
        return FailedEvent(str(failure), failure.code, failure.remedy)

    @property
    def searches(self) -> bool:
        """Whether passages are looked for, and not brought along."""
        return self.retrieval and self.messages is None and self.passages is None

    def may_replay(self, exchange: Exchange) -> bool:
        """Whether this is the question that was recorded, of somebody who may see its answer.

        Of visitors it is not kept who asked, so an id proves nothing: they have to be allowed to
        open what the answer was made from.
        """
        site = self.site or site_for(self.request)
        return (
            exchange.question == self.recorded_question
            and exchange.origin == self.origin
            and exchange.user_id == self.user_id
            and exchange.site_id == (site and site.pk)
            and self._may_see(exchange.frozen_passages, exchange.site)
        )

    def _may_see(self, passages: Sequence[Passage], site: Site | None) -> bool:
        """Whether the asker may open the pages of these passages, as they are now."""
        brought_along = list(self.passages or ())
        kept = [passage for passage in passages if passage not in brought_along]
        return SourceAccess(self.asker).are_open([passage.source for passage in kept], site)

    @cached_property
    def masking(self) -> Masking | None:
        """What masks the record: of a visitor it does not keep how they can be reached."""
        return Masking(self.locale) if self.origin == Origin.SITE else None

    @cached_property
    def recorded_question(self) -> str:
        """The question as it is kept."""
        return self.masking.hide(self.question) if self.masking else self.question

    @property
    def user_id(self) -> Any:
        """Who asked, where that is kept: of visitors it is not."""
        if self.origin == Origin.SITE or self.asker.user is None:
            return None
        return self.asker.user.pk

    @property
    def own_wording(self) -> dict[str, Any]:
        """The instructions, of a ready prompt or not, that went out in place of the backend's."""
        if self.messages is not None:
            told = [m["content"] for m in self.messages if m["role"] in ("system", "developer")]
            text = "\n\n".join(told)
        elif self.instructions:
            text = self.instructions
        else:
            return {}
        return {"system_prompt": text.replace("\x00", ""), "prompt_version": None}

    @property
    def is_recorded(self) -> bool:
        return self.origin != Origin.SITE or conf.record_visitor_questions()
