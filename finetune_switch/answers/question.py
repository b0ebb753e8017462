"""A question and its options."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
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
from finetune_switch.access.sites import current_request, site_for, site_language
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
    """A question with its asker and its options; see :func:`.api.answer`."""

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
    """Replaces the backend's instructions."""
    messages: Sequence[Message] | None = None
    schema: Mapping[str, Any] | None = None
    """The JSON schema of the reply. The server may ignore it: see :func:`.structured.ask_for`."""
    fact_lock: bool = False
    prepared: bool = False
    exchange_id: uuid.UUID | None = None
    """An id chosen by the asker. A question whose id is recorded already is replayed."""
    conversation: uuid.UUID | None = None
    """The recorded id that the questions of a conversation share."""
    turns: Sequence[Turn] = ()
    switch: Switch | None = None
    """The site's switch, to save a query."""
    visitor: str = ""
    """The recorded hash of a visitor."""

    def __post_init__(self) -> None:
        self.question = clean_question(self.question)
        self.turns = clean_turns(self.turns)
        language = self.locale or get_language()
        self.locale = site_language(language) if language else ""
        # The events may be read after the end of the request.
        self.request = self.request or current_request()

    def in_its_language(self) -> override:
        """Activate the language of the question, which the reader of the events may not have."""
        return override(self.locale or settings.LANGUAGE_CODE)

    def unforeseen(self, error: BaseException) -> BackendError:
        """Log an unexpected error, and return one that is safe to show."""
        logger.error("A question could not be answered.", exc_info=error)
        with self.in_its_language():
            return BackendError(
                _("Something went wrong while answering."),
                code="internal",
                remedy=_("The site's log says more."),
            )

    def could_not_open(self, error: Exception) -> FailedEvent:
        """The only event of a question that could not be recorded."""
        failure = self.unforeseen(error)
        return FailedEvent(str(failure), failure.code, failure.remedy)

    @property
    def searches(self) -> bool:
        """Whether passages are retrieved."""
        return self.retrieval and self.messages is None and self.passages is None

    def may_replay(self, exchange: Exchange) -> bool:
        """Whether the exchange is of this question, and the asker may see its answer.

        Visitors are not recorded, so an id alone proves nothing. They must be allowed to open the
        sources of the answer.
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
        """Whether the asker may open the sources of these passages now."""
        given = list(self.passages or ())
        sources = [passage.source for passage in passages if passage not in given]
        return SourceAccess(self.asker).are_open(sources, site)

    @cached_property
    def masking(self) -> Masking | None:
        """Masks contact details in the record of a visitor's question."""
        return Masking(self.locale) if self.origin == Origin.SITE else None

    @cached_property
    def recorded_question(self) -> str:
        """The question as recorded, with contact details of visitors masked."""
        return self.masking.hide(self.question) if self.masking else self.question

    @property
    def user_id(self) -> Any:
        """The recorded user; ``None`` for questions of visitors."""
        if self.origin == Origin.SITE or self.asker.user is None:
            return None
        return self.asker.user.pk

    @property
    def instructions_state(self) -> dict[str, Any]:
        """The instructions that replaced the backend's, for ``Exchange.backend_state``."""
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
