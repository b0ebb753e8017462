"""Check that a backend can be reached, and that its model sees instructions and passages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_switch.exceptions import BackendError
from finetune_switch.messages import Message
from finetune_switch.models import ChatBackend

from . import get_backend
from .base import Text
from .servers import ModelServer, OllamaModel

SYSTEM_MARKER = "kestrel-4417"
PASSAGE_MARKER = "heron-9026"
SHORT_QUESTION: list[Message] = [
    {"role": "system", "content": "You answer in one short sentence."},
    {"role": "user", "content": "Say that you are ready."},
]


@dataclass(frozen=True)
class Step:
    """One step of a check, and its result."""

    name: str
    title: str
    passed: bool
    seconds: float
    message: str
    remedy: str = ""
    code: str = ""


def check_backend(row: ChatBackend) -> Iterator[Step]:
    """Check a backend in steps, up to the first failure.

    Steps are yielded when they end. The result is saved on the row.
    """
    steps: list[Step] = []
    for step in _steps(row):
        steps.append(step)
        yield step
        if not step.passed:
            break
    if row.pk:
        _save_result(row, steps)


def run_check(row: ChatBackend) -> list[Step]:
    """Like :func:`check_backend`, as a list."""
    return list(check_backend(row))


def probe(row: ChatBackend) -> Step:
    """A quick check that a backend could answer, without loading or asking its model."""

    def look() -> str:
        _configured(row)
        connection = get_backend(row).config.connection
        if connection is None or not (connection.is_ollama or connection.provider == "openai"):
            return _("Ready.")
        server = ModelServer(connection)
        if connection.is_ollama:
            server.show(row.model_name)
        else:
            _found_at_openai(row, server)
        return _("Ready: its server answers, and has the model.")

    return _step("ready", _("Ready"), look)


def _steps(row: ChatBackend) -> Iterator[Step]:
    yield _step("configured", _("Settings"), lambda: _configured(row))
    if row.kind == ChatBackend.Kind.CONNECTION:
        connection = get_backend(row).config.connection
        assert connection is not None
        server = ModelServer(connection)
        if connection.is_ollama:
            yield from _ollama_steps(row, server)
        elif connection.provider == "openai":
            yield _step("found", _("Find the model"), lambda: _found_at_openai(row, server))
    yield _step("answer", _("Short answer"), lambda: _short_answer(row))


def _ollama_steps(row: ChatBackend, server: ModelServer) -> Iterator[Step]:
    yield _step(
        "reached",
        _("Reach the server"),
        lambda: _("It is an Ollama server, version %s.") % server.version(),
    )
    models: list[OllamaModel] = []

    def find() -> str:
        models.append(server.show(row.model_name))
        row.base_model = models[0].parent_model
        row.digest = server.digest(row.model_name)
        return _("The server has “%s”.") % row.model_name

    yield _step("found", _("Find the model"), find)
    slow = ModelServer(server.connection, seconds=row.deadlines.first_token)

    def load() -> str:
        slow.load(row.model_name)
        return _("It is loaded.")

    yield _step("loaded", _("Load the model"), load)
    if models:
        yield _step("hears", _("Receive instructions"), lambda: _hears(row, slow, models[0]))


def _configured(row: ChatBackend) -> str:
    if reason := row.unavailable_reason:
        raise BackendError(
            reason, code="misconfigured", remedy=_("Ask your developer to declare it again.")
        )
    config = get_backend(row).config
    if config.connection is not None:
        config.connection.get_api_base()
    return _("Everything that it needs is declared.")


def _found_at_openai(row: ChatBackend, server: ModelServer) -> str:
    listed = {model.name: model for model in server.models()}
    model = listed.get(row.model_name)
    if model is None:
        raise BackendError(
            _("The server has no model “%s”.") % row.model_name,
            code="model_not_found",
            remedy=_("Choose one that it has: “Show models” on the backend's page lists them."),
        )
    row.shutdown_date = model.shutdown_date
    if model.shutdown_date:
        return _("The server has “%(model)s”, which it will shut down on %(date)s.") % {
            "model": row.model_name,
            "date": model.shutdown_date.isoformat(),
        }
    return _("The server has “%s”.") % row.model_name


def _hears(row: ChatBackend, server: ModelServer, model: OllamaModel) -> str:
    """Check that instructions and passages reach the model. Some templates drop them."""
    messages = [
        {"role": "system", "content": f"The word of the day is {SYSTEM_MARKER}."},
        {"role": "user", "content": f"The bird is called {PASSAGE_MARKER}. What is it called?"},
    ]
    rendered = server.render(row.model_name, messages)
    if rendered is None and not model.template.strip():
        # The template is inside the model's file and cannot be read, so the model is asked.
        return _repeats(row)
    if rendered is None:
        hears = model.has_place_for_instructions
    else:
        hears = PASSAGE_MARKER in rendered and SYSTEM_MARKER in rendered
    if not hears:
        raise BackendError(
            _(
                "The model never sees its instructions or the passages. It would answer "
                "from memory, and sound as if it knew."
            ),
            code="deaf",
            remedy=_(
                "Its template has no place for them. Download the corrected Modelfile from its "
                "page, and create the model anew from it."
            ),
        )
    return _("Instructions and passages reach the model.")


def _repeats(row: ChatBackend) -> str:
    """Check that the model can repeat a word from its instructions."""
    completion = get_backend(row).complete(
        [
            {"role": "system", "content": f"The word of the day is {SYSTEM_MARKER}."},
            {"role": "user", "content": "What is the word of the day? Reply with that word."},
        ]
    )
    if SYSTEM_MARKER not in completion.text.casefold():
        raise BackendError(
            _("The model was told a word in its instructions, and could not repeat it."),
            code="not_repeated",
            remedy=_(
                "It may never see its instructions: look at the chat template in the model's file."
            ),
        )
    return _("Instructions and passages reach the model.")


def _short_answer(row: ChatBackend) -> str:
    # Streamed, like answers to visitors.
    chunks = get_backend(row).stream(SHORT_QUESTION)
    said = "".join(chunk.text for chunk in chunks if isinstance(chunk, Text))
    answer = " ".join(said.split())
    return _("It said: “%s”") % (answer if len(answer) <= 120 else f"{answer[:119]}…")


def _step(name: str, title: str, attempt: Callable[[], str]) -> Step:
    started = time.monotonic()
    try:
        message, remedy, code, passed = attempt(), "", "", True
    except BackendError as error:
        message, remedy, code, passed = str(error), error.remedy, error.code, False
    return Step(name, title, passed, round(time.monotonic() - started, 3), message, remedy, code)


_RESULT = (
    "checked_at",
    "check_passed",
    "check_report",
    "base_model",
    "digest",
    "shutdown_date",
)


def _save_result(row: ChatBackend, steps: list[Step]) -> None:
    row.checked_at = timezone.now()
    row.check_passed = all(step.passed for step in steps)
    row.check_report = [asdict(step) for step in steps]
    # The row may have been changed to another model during the check.
    ChatBackend.objects.filter(
        pk=row.pk,
        connection=row.connection,
        model_name=row.model_name,
        parameters=row.parameters,
    ).update(**{name: getattr(row, name) for name in _RESULT})


def corrected_modelfile(row: ChatBackend) -> str:
    """A Modelfile whose template includes the instructions.

    The rest of the template is unchanged. Raises ``BackendError``.
    """
    connection = get_backend(row).config.connection
    if connection is None or not connection.is_ollama:
        raise BackendError(_("Only a model on Ollama has a Modelfile."), code="no_modelfile")
    model = ModelServer(connection).show(row.model_name)
    template = model.template or "{{ .Prompt }}"
    if not model.has_place_for_instructions:
        template = "{{ if .System }}{{ .System }}\n\n{{ end }}" + template
    lines = [f"FROM {row.model_name}", f'TEMPLATE """{template}"""']
    lines += [f"PARAMETER {line.strip()}" for line in model.parameters.splitlines() if line.strip()]
    if "num_ctx" not in model.parameters:
        lines.append(f"PARAMETER num_ctx {_context_length(row, model)}")
    return "\n".join(lines) + "\n"


def _context_length(row: ChatBackend, model: OllamaModel) -> int:
    return min(row.context_window, model.context_length or row.context_window)
