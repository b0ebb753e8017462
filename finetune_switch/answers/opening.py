"""Open the exchange of a question: choose the backend, retrieve passages, and build the prompt.

This code is synchronous and uses the database; ``api`` chooses its thread. Between
:func:`open_exchange` and the closing of the exchange, no database connection is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from finetune_switch.access.sites import site_for
from finetune_switch.backends import get_backend
from finetune_switch.backends.base import BaseChatBackend
from finetune_switch.backends.embeddings.question_vectors import each_vector_once
from finetune_switch.exceptions import BackendError
from finetune_switch.models import Exchange, PreparedAnswer, Switch
from finetune_switch.passages import Passage
from finetune_switch.prepared.matching import PreparedReply, find_prepared
from finetune_switch.search import retrieve_for

from .followups import leans, standalone_by_rule
from .open_exchange import OpenExchange
from .prompts import Prompt, PromptTooLong, build_prompt
from .question import AskedQuestion
from .rewriting import Rewriting


def open_exchange(question: AskedQuestion) -> OpenExchange:
    """Choose the backend, retrieve passages, build the prompt, and record the question."""
    with question.in_its_language():
        if (recorded := _find_recorded(question)) is not None:
            return OpenExchange.replay(question, recorded)
        switch = question.switch or Switch.for_question(
            question.site or (question.request and site_for(question.request)) or None
        )
        row = question.backend or switch.backend
        opened = OpenExchange(question, row, switch, search_again=search_again)
        error: BackendError | None = None
        try:
            with each_vector_once(opened.question_vectors):
                if (reply := _find_reply_at_once(question, switch)) is not None:
                    opened.use_prepared(reply)
                else:
                    _prepare(question, opened)
        except BackendError as caught:
            error = caught
        except Exception as caught:
            error = question.unforeseen(caught)
        if not opened.insert() and (recorded := _find_recorded(question)) is not None:
            return OpenExchange.replay(question, recorded)
        opened.end_early(error)
    return opened


def search_again(opened: OpenExchange, standalone: str) -> PreparedReply | Prompt | None:
    """A prepared answer or a prompt for the standalone question of a follow-up.

    ``None`` if nothing is found or the search fails. The first result then stays in use.
    """
    question = opened.question
    if not standalone or opened.backend is None:
        return None
    try:
        with question.in_its_language(), each_vector_once(opened.question_vectors):
            if (reply := _find_reply(question, opened.switch, standalone)) is not None:
                return reply
            if not (passages := _find_passages(question, opened.switch, standalone)):
                return None
            return _make_prompt(opened, opened.backend, passages, standalone)
    except BackendError:
        return None
    except Exception as error:
        question.unforeseen(error)
        return None


def _find_recorded(question: AskedQuestion) -> Exchange | None:
    """The exchange with the id given by the asker, if it exists already."""
    if question.exchange_id is None or not question.is_recorded:
        return None
    rows = Exchange.objects.select_related("backend", "site")
    return rows.filter(pk=question.exchange_id).first()


def _find_reply_at_once(question: AskedQuestion, switch: Switch) -> PreparedReply | None:
    reply = _find_reply(question, switch, question.question)
    is_correction = reply is not None and reply.kind == PreparedAnswer.Kind.CORRECTION
    if is_correction and question.turns and leans(question.question, question.locale):
        # In another conversation, "And on Sundays?" may be about something else.
        return None
    return reply


def _find_reply(question: AskedQuestion, switch: Switch, standalone: str) -> PreparedReply | None:
    """The prepared answer to this question, if any and if wanted."""
    if not question.prepared or question.messages is not None:
        return None
    return find_prepared(
        standalone,
        asker=question.asker,
        site=switch.site_or_none,
        locale=question.locale,
        request=question.request,
    )


def _prepare(question: AskedQuestion, opened: OpenExchange) -> None:
    backend = get_backend(opened.row)
    if question.schema is not None:
        backend = _with_schema(backend, question.schema, str(opened.row))
    if question.messages is not None:
        opened.use_backend(backend, Prompt(list(question.messages), [], 0))
        return
    standalone, rewriting = question.question, None
    if question.turns and question.searches:
        standalone = standalone_by_rule(question.question, question.turns, question.locale)
        rewriting = Rewriting.by(backend, question.question, question.turns, question.locale)
    passages = _find_passages(question, opened.switch, standalone)
    prompt = _make_prompt(opened, backend, passages, standalone)
    opened.use_backend(backend, prompt, standalone=standalone, rewriting=rewriting)


def _with_schema(
    backend: BaseChatBackend, schema: Mapping[str, Any], label: str
) -> BaseChatBackend:
    bound = backend.with_schema(schema)
    if bound is None:
        raise BackendError(
            _("“%s” can't be asked for a structured reply.") % label,
            code="no_schema",
            remedy=_("Choose a backend with a model on a connection."),
        )
    return bound


def _find_passages(question: AskedQuestion, switch: Switch, standalone: str) -> Sequence[Passage]:
    if question.passages is not None:
        return question.passages
    if not question.retrieval:
        return []
    return retrieve_for(
        switch,
        standalone,
        asker=question.asker,
        locale=question.locale,
        indexes=question.indexes,
        request=question.request,
    )


def _make_prompt(
    opened: OpenExchange,
    backend: BaseChatBackend,
    passages: Sequence[Passage],
    standalone: str,
) -> Prompt:
    """The prompt for the question, followed by its standalone form in parentheses."""
    question = opened.question
    asked = question.question
    try:
        return build_prompt(
            # The standalone form is for models that drop earlier turns.
            asked if standalone == asked else f"{asked}\n({standalone})",
            passages,
            system_prompt=question.instructions or opened.row.system_prompt,
            nothing_found=opened.nothing_found,
            context_window=backend.config.context_window,
            max_answer_tokens=backend.config.parameters.get("max_tokens"),
            count_tokens=backend.count_tokens,
            retrieval=question.retrieval,
            turns=question.turns,
        )
    except PromptTooLong as error:
        raise BackendError(
            _("The instructions, the question and its passages are too long for this model.")
            if question.instructions
            else _("The question and its passages are too long for this model."),
            code="context_overflow",
            remedy=_("Set the backend's context window right, or shorten the question."),
        ) from error
