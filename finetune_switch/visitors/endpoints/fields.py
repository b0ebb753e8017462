"""Reads the fields of visitors' requests.

Each function raises :class:`~finetune_switch.exceptions.InvalidQuestion` for a malformed value.
"""

import json
import uuid
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.utils.translation import gettext as _

from finetune_switch.exceptions import InvalidQuestion
from finetune_switch.messages import Turn


def read_uuid(value: Any, name: str) -> uuid.UUID | None:
    """A UUID made by the visitor's script, or ``None``."""
    if value is None or value == "":
        return None
    try:
        return uuid.UUID(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidQuestion(
            _("“%(name)s” has to be a UUID, not “%(value)s”.")
            % {"name": name, "value": str(value)[:40]}
        ) from error


def read_json(request: HttpRequest) -> dict[str, Any]:
    try:
        body = json.loads(request.body)
    except RequestDataTooBig as error:
        raise InvalidQuestion(_("The request is too large.")) from error
    except (ValueError, RecursionError) as error:
        raise InvalidQuestion(_("The request has to be a JSON object.")) from error
    if not isinstance(body, dict):
        raise InvalidQuestion(_("The request has to be a JSON object."))
    return body


def read_text(body: dict[str, Any], name: str) -> str:
    """The text of this name, or an empty one."""
    text = body.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InvalidQuestion(_("“%s” has to be a text.") % name)
    # JSON may contain lone surrogates, which databases reject.
    return text.encode(errors="replace").decode()


def read_turns(body: dict[str, Any]) -> list[Turn]:
    """The earlier turns of the conversation, as the browser remembers them."""
    turns = body.get("turns") or []
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise InvalidQuestion(
            _("“turns” has to be a list of objects with a “question” and an “answer”.")
        )
    return [Turn(read_text(turn, "question"), read_text(turn, "answer")) for turn in turns]
