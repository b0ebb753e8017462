"""Replies of a given form: JSON that a schema describes, and that is checked here."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.translation import gettext as _

from finetune_switch.exceptions import BackendError
from finetune_switch.messages import Message

from .api import Answer
from .question import AskedQuestion

ATTEMPTS = 2
LONGEST_ERROR = 300


@dataclass(frozen=True)
class Structured:
    """A reply that fits its schema, and the exchanges that record the attempts, in their order."""

    value: Any
    exchange_ids: Sequence[uuid.UUID] = field(default_factory=tuple)


class BadStructure(BackendError):
    """The reply does not have the form that was asked for."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="bad_structure", remedy=_("Choose another model."))


def choice_schema(choices: Sequence[str]) -> dict[str, Any]:
    """The schema of ``{"choice": …}`` with one of these values."""
    return object_schema({"choice": {"type": "string", "enum": list(choices)}})


def pattern_schema(pattern: str) -> dict[str, Any]:
    """The schema of ``{"text": …}`` that matches a regular expression."""
    return object_schema({"text": {"type": "string", "pattern": pattern}})


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object with exactly these properties, as strict providers require it."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def ask_for(schema: Mapping[str, Any], question: AskedQuestion) -> Structured:
    """Ask for a reply of this form. A reply of another form is sent back once, with the error.

    Raises :class:`BadStructure` if the second reply is wrong as well, and
    :class:`~finetune_switch.exceptions.BackendError` if the backend fails. A wrong reply is never
    repaired: a repaired value would be a guessed one.
    """
    first: Message = {"role": "user", "content": question.question}
    messages: list[Message] = list(question.messages or [first])
    asked_ids: list[uuid.UUID] = []
    for attempt in range(1, ATTEMPTS + 1):
        answer = Answer(replace(question, schema=schema, messages=messages, exchange_id=None))
        try:
            text = answer.text
        finally:
            if answer.exchange_id is not None:
                asked_ids.append(answer.exchange_id)
        try:
            with question.in_its_language():
                return Structured(parse(text, schema), tuple(asked_ids))
        except BadStructure as error:
            if attempt == ATTEMPTS:
                raise
            messages = [*messages, *_told(text, error, schema)]
    raise AssertionError("unreachable")


def _told(text: str, error: BadStructure, schema: Mapping[str, Any]) -> list[Message]:
    return [
        {"role": "assistant", "content": text},
        {
            "role": "user",
            "content": f"{error} Reply with nothing but JSON of this schema: {json.dumps(schema)}",
        },
    ]


def parse(text: str, schema: Mapping[str, Any]) -> Any:
    """The value of a reply. Raises :class:`BadStructure`, which says what is wrong."""
    said = text.strip()
    try:
        value = json.loads(said)
    except ValueError as error:
        raise BadStructure(_what_is_wrong(said)) from error
    # Imported here, since it takes 0.1 s.
    from jsonschema import Draft202012Validator

    for found in Draft202012Validator(schema).iter_errors(value):
        place = "/".join(map(str, found.absolute_path)) or _("the reply")
        raise BadStructure(
            _("The model's reply doesn't fit its form: %(place)s: %(error)s")
            % {"place": place, "error": found.message[:LONGEST_ERROR]}
        )
    return value


def _what_is_wrong(said: str) -> str:
    if not said:
        return _("The model wrote thoughts, but no reply.")
    if re.match(r"^```", said):
        return _("The model put its reply into a block of code.")
    if said[0] in "{[":
        return _("The model's reply breaks off, or is no valid JSON.")
    if "{" in said:
        return _("The model wrote text around its reply.")
    return _("The model replied with text where a form was asked for, or refused.")
