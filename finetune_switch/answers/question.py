"""One question on its way to a backend: what was asked, by whom, over which passages.

Everything here and in ``open_exchange`` is plain synchronous code that touches the database;
``answering`` decides on which thread it runs. Between :meth:`Asking.open` and the closing verbs of
:class:`OpenExchange` no database connection is needed.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import override
from wagtail.models import Site

from finetune_switch import conf
from finetune_switch.access.askers import Asker
from finetune_switch.access.sites import site_for
from finetune_switch.backends import get_backend
from finetune_switch.backends.base import BaseChatBackend
from finetune_switch.backends.embeddings.questions import each_vector_once
from finetune_switch.exceptions import BackendError
from finetune_switch.messages import Message, Turn
from finetune_switch.models import ChatBackend, Exchange, Origin, PreparedAnswer, Switch
from finetune_switch.models.exchange import clean_question, passages_of
from finetune_switch.passages import Passage
from finetune_switch.prepared.matching import Given, find_prepared
from finetune_switch.search.retrieval import all_open_to, retrieve
from finetune_switch.text.masking import Masking

from .events import FailedEvent
from .exchange import OpenExchange
from .followups import clean_turns, leans, standalone_by_rule
from .prompts import Prompt, PromptTooLong, build_prompt
from .rewriting import Rewriting

logger = logging.getLogger("finetune_switch.answering")


@dataclass
class Asking:
    """A question and everything that says how it is to be answered."""

    question: str
    locale: str
    asker: Asker
    origin: Origin
    site: Site | None = None
    request: HttpRequest | None = None
    indexes: Sequence[str] | None = None
    backend: ChatBackend | None = None
    passages: Sequence[Passage] | None = None
    retrieval: bool = True
    instructions: str = ""
    messages: Sequence[Message] | None = None
    fact_lock: bool = False
    prepared: bool = False
    exchange_id: uuid.UUID | None = None
    conversation: uuid.UUID | None = None
    turns: Sequence[Turn] = ()
    switch: Switch | None = None
    visitor: str = ""

    def __post_init__(self) -> None:
        self.question = clean_question(self.question)
        self.turns = clean_turns(self.turns)

    def open(self) -> OpenExchange:
        """Find what answers, retrieve, fit the prompt, and record that the question was asked."""
        with self.in_its_language():
            if (recorded := self._find_recorded()) is not None:
                return OpenExchange.replay(self, recorded)
            switch = self.switch or Switch.for_question(
                self.site or (self.request and site_for(self.request)) or None
            )
            row = self.backend or switch.backend
            opened = OpenExchange(self, row, switch)
            error: BackendError | None = None
            try:
                with each_vector_once():
                    if (given := self._find_given_at_once(switch)) is not None:
                        opened.give(given)
                    else:
                        self._prepare(opened)
            except BackendError as caught:
                error = caught
            except Exception as caught:
                error = self.unforeseen(caught)
            if not opened.insert() and (recorded := self._find_recorded()) is not None:
                return OpenExchange.replay(self, recorded)
            opened.end_early(error)
        return opened

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

    def _find_recorded(self) -> Exchange | None:
        """The exchange that the asker's own id names, if there is one already."""
        if self.exchange_id is None or not self.is_recorded:
            return None
        return (
            Exchange.objects.select_related("backend", "site").filter(pk=self.exchange_id).first()
        )

    def _find_given_at_once(self, switch: Switch) -> Given | None:
        given = self.find_given(switch, self.question)
        is_correction = given is not None and given.kind == PreparedAnswer.Kind.CORRECTION
        if is_correction and self.turns and leans(self.question, self.locale):
            # "And on Sundays?" may be about something else than where it was corrected.
            return None
        return given

    def find_given(self, switch: Switch, standalone: str) -> Given | None:
        """What people have prepared for this question, where that is asked for."""
        if not self.prepared or self.messages is not None:
            return None
        return find_prepared(
            standalone, asker=self.asker, site=switch.site_or_none, locale=self.locale
        )

    def _prepare(self, opened: OpenExchange) -> None:
        backend = get_backend(opened.row)
        if self.messages is not None:
            opened.use(backend, Prompt(list(self.messages), [], 0))
            return
        standalone, rewriting = self.question, None
        if self.turns and self.searches:
            standalone = standalone_by_rule(self.question, self.turns, self.locale)
            rewriting = Rewriting.by(backend, self.question, self.turns, self.locale)
        passages = self.find_passages(opened.switch, standalone)
        prompt = self.make_prompt(opened, backend, passages, standalone)
        opened.use(backend, prompt, standalone=standalone, rewriting=rewriting)

    def make_prompt(
        self,
        opened: OpenExchange,
        backend: BaseChatBackend,
        passages: Sequence[Passage],
        standalone: str,
    ) -> Prompt:
        """The question over its passages, and the one that it was made into beside it."""
        question = self.question
        try:
            return build_prompt(
                # Who does not hear what was said before, or has no room for it, has this.
                question if standalone == question else f"{question}\n({standalone})",
                passages,
                system_prompt=self.instructions or opened.row.system_prompt,
                nothing_found=opened.nothing_found,
                context_window=backend.config.context_window,
                max_answer_tokens=backend.config.parameters.get("max_tokens"),
                count_tokens=backend.count_tokens,
                retrieval=self.retrieval,
                turns=self.turns,
            )
        except PromptTooLong as error:
            raise BackendError(
                _("The instructions, the question and its passages are too long for this model.")
                if self.instructions
                else _("The question and its passages are too long for this model."),
                code="context_overflow",
                remedy=_("Set the backend's context window right, or shorten the question."),
            ) from error

    @property
    def searches(self) -> bool:
        """Whether passages are looked for, and not brought along."""
        return self.retrieval and self.messages is None and self.passages is None

    def find_passages(self, switch: Switch, standalone: str) -> Sequence[Passage]:
        if self.passages is not None:
            return self.passages
        if not self.retrieval:
            return []
        return retrieve(
            standalone,
            asker=self.asker,
            site=switch.site_or_none,
            locale=self.locale,
            indexes=switch.indexes if self.indexes is None else self.indexes,
            limit=switch.passages,
            threshold=switch.similarity_threshold,
        )

    def search_again(self, opened: OpenExchange, standalone: str) -> Given | Prompt | None:
        """What there is for the question that a model made of the follow-up.

        Nothing where that helps nobody, be it that the search fails: what was found before stays.
        """
        if not standalone or opened.backend is None:
            return None
        try:
            with self.in_its_language(), each_vector_once():
                if (given := self.find_given(opened.switch, standalone)) is not None:
                    return given
                if not (passages := self.find_passages(opened.switch, standalone)):
                    return None
                return self.make_prompt(opened, opened.backend, passages, standalone)
        except BackendError:
            return None
        except Exception as error:
            self.unforeseen(error)
            return None

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
            and self._may_see(passages_of(exchange), exchange.site)
        )

    def _may_see(self, passages: Sequence[Passage], site: Site | None) -> bool:
        """Whether the asker may open the pages of these passages, as they are now."""
        brought_along = list(self.passages or ())
        kept = [passage for passage in passages if passage not in brought_along]
        return all_open_to(self.asker, [passage.source for passage in kept], site)

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
