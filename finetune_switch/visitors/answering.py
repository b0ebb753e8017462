"""Answers for visitors: one service for the event stream, the search page and your own pages."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.utils.translation import get_language, get_supported_language_variant
from django.utils.translation import gettext as _
from wagtail.models import Site

from finetune_switch import conf
from finetune_switch.access import Asker
from finetune_switch.access.sites import site_language
from finetune_switch.answers import Answer, AskedQuestion, stream_answer
from finetune_switch.answers.events import Event, event_data
from finetune_switch.answers.followups import clean_turns
from finetune_switch.answers.streaming import AnswerStream
from finetune_switch.exceptions import InvalidQuestion, Refused
from finetune_switch.limits import throttling
from finetune_switch.models import ChatBackend, Origin, Outcome, Switch
from finetune_switch.models.exchange import clean_question
from finetune_switch.passages import Passage
from finetune_switch.text.citations import CITATION

# The model, its times and its cost are for the team only.
SHOWN_TO_VISITORS = {
    "citations",
    "code",
    "data_destination",
    "exchange",
    "left_out",
    "message",
    "outcome",
    "passages",
    "text",
}


@dataclass(frozen=True)
class AnswerPart:
    """A piece of an answer: words or, with a ``source``, the number that cites it."""

    text: str
    source: Passage | None = None


@dataclass(frozen=True)
class Answered:
    """A complete answer, as a template shows it. An error is a sentence."""

    question: str
    text: str = ""
    passages: list[Passage] = field(default_factory=list)
    citations: list[int] = field(default_factory=list)
    is_unknown: bool = False
    error: str = ""
    status: int = 200
    """The status of HTTP: not 200 if the question was refused."""
    retry_after: int | None = None

    @property
    def parts(self) -> list[AnswerPart]:
        """The text split into words and citations, so that citations can be links."""
        return list(parts_of(self.text, self.passages))

    @property
    def sources(self) -> list[dict[str, Any]]:
        return [
            {"number": p.number, "title": p.source.title, "url": p.source.url}
            for p in self.passages
            if p.number in self.citations
        ]


def answer_visitor(
    request: HttpRequest,
    question: str,
    *,
    passages: Sequence[Passage] | None = None,
    before_waiting: Callable[[], None] = lambda: None,
) -> Answered:
    """The whole answer to whoever sends this request, on its site and in the active language.

    ``passages`` are those that a search for the question has found already. It takes as long as the
    model does; :func:`~finetune_switch.answers.streaming.stream_answer` does not wait.
    ``before_waiting`` is called when database work is done, before the model is waited for.
    """
    try:
        admitted = admit(request, question)
    except InvalidQuestion as error:
        return Answered(question, error=str(error))
    except Refused as error:
        return Answered(
            question, error=str(error), status=error.status, retry_after=error.retry_after
        )
    try:
        given = Answer(
            AskedQuestion(question, request=request, passages=passages, **admitted.options)
        )
        for _event in given.iterate(before_waiting=before_waiting):
            pass
    finally:
        admitted.release()
    if given.failure is not None:
        is_cut_off = given.failure.code == Outcome.CUT_OFF
        return Answered(
            question,
            given.text_so_far if is_cut_off else "",
            given.passages,
            error=given.failure.message,
        )
    assert given.done is not None
    return Answered(
        question,
        given.text_so_far,
        given.passages,
        given.done.citations,
        is_unknown=given.done.outcome == Outcome.NO_ANSWER,
    )


def stream_to_visitor(
    request: HttpRequest, question: str, locale: str = "", **more: Any
) -> AnswerStream:
    """The answer to whoever sends this request, as a stream of events.

    ``more`` are further fields of :class:`~finetune_switch.answers.AskedQuestion`. Raises
    :class:`~finetune_switch.exceptions.InvalidQuestion` and
    :class:`~finetune_switch.exceptions.Refused` before anything is sent.
    """
    if turns := more.get("turns"):
        more["turns"] = clean_turns(turns, conf.visitors().max_question_length)
    admitted = admit(request, question, locale)
    try:
        return stream_answer(
            request,
            question,
            show=visitor_data,
            on_close=admitted.release,
            **{**admitted.options, **more},
        )
    except BaseException:
        admitted.release()
        raise


@dataclass(frozen=True)
class Admitted:
    """Options for ``answer()``, and the function to call once the answer has ended."""

    options: dict[str, Any]
    release: Callable[[], None]


def admit(request: HttpRequest, question: str, locale: str = "") -> Admitted:
    """Check and count a visitor's question.

    Raises :class:`~finetune_switch.exceptions.InvalidQuestion` if it is empty or too long, and
    :class:`~finetune_switch.exceptions.Refused` if answers are off or a limit is reached.
    """
    clean_question(question, conf.visitors().max_question_length)
    options = visitor_options(request, locale)
    switch = options["switch"] = Switch.for_question(options["site"])
    if not switch.answers_visitors:
        raise Refused(
            _("Questions are not answered at the moment. You can search the pages."),
            code="off",
            status=503,
        )
    admission = throttling.admit(
        request, switch.site_or_none, seconds=switch.backend.deadlines.total
    )
    options["visitor"] = admission.visitor
    if admission.is_used_up:
        options["backend"] = ChatBackend.extractive()
    return Admitted(options, admission.release)


def visitor_options(request: HttpRequest, locale: str = "") -> dict[str, Any]:
    """Fields of ``AskedQuestion`` for whoever sends this request.

    ``locale`` is the language of the page that the question was asked on, see
    :func:`page_language`.
    """
    return {
        "site": Site.find_for_request(request),
        "locale": locale or page_language(),
        "asker": Asker.from_request(request),
        "origin": Origin.SITE,
        "fact_lock": conf.fact_lock(),
        "prepared": True,
    }


def visitor_data(event: Event) -> dict[str, Any]:
    """The event as JSON, without what visitors may not see."""
    return {key: value for key, value in event_data(event).items() if key in SHOWN_TO_VISITORS}


def page_language(code: str = "") -> str:
    """The site's language that is nearest to that of a page, or to the active one.

    Raises :class:`~finetune_switch.exceptions.InvalidQuestion` if the site does not have it.
    """
    try:
        # A site with "en" also has "en-us".
        get_supported_language_variant(code or get_language())
    except LookupError as error:
        raise InvalidQuestion(
            _("This site has no content in the language “%s”.") % code[:20]
        ) from error
    return site_language(code or get_language())


def parts_of(text: str, passages: Sequence[Passage]) -> Iterator[AnswerPart]:
    """A text as words and citations, in order."""
    known = {passage.number: passage for passage in passages}
    position = 0
    for match in CITATION.finditer(text):
        yield from _words(text[position : match.start()])
        for number in match[1].replace(";", ",").split(","):
            if (source := known.get(int(number))) is not None:
                yield AnswerPart(str(source.number), source)
        position = match.end()
    yield from _words(text[position:])


def _words(text: str) -> Iterator[AnswerPart]:
    if text:
        yield AnswerPart(text)
