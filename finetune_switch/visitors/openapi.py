"""What visitors' scripts may ask, as OpenAPI 3.1 describes it. ``docs/api.md`` is for people."""

from typing import Any

from finetune_switch import __version__
from finetune_switch.models import Outcome
from finetune_switch.models.exchange import MAX_QUESTION_LENGTH
from finetune_switch.models.feedback import MAX_COMMENT_LENGTH

Schema = dict[str, Any]

EVENTS = {
    "sources": "SourcesEvent",
    "text": "TextEvent",
    "done": "DoneEvent",
    "failed": "FailedEvent",
}


def description(server_url: str) -> Schema:
    """The whole description, for a site that has the endpoints below this address."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Answers for visitors",
            "version": __version__,
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
            "description": (
                "Questions are answered from the pages that whoever asks may open. Requests are "
                "taken from the site's own pages, and from the origins that its settings allow; "
                "those are answered as an anonymous visitor. The browser says by `Origin` or "
                "`Sec-Fetch-Site` where a request comes from; there is no token."
            ),
        },
        "servers": [{"url": server_url}],
        "security": [],
        "paths": {
            "/ask/": {"post": ASK},
            "/conversation/": {"post": CONVERSATION},
            "/feedback/": {"post": FEEDBACK},
            "/results/": {"get": RESULTS},
            "/about/": {"get": ABOUT},
        },
        "components": {"schemas": SCHEMAS, "responses": RESPONSES, "parameters": PARAMETERS},
    }


def _ref(name: str, kind: str = "schemas") -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(properties: Schema, *, optional: tuple[str, ...] = (), **more: Any) -> Schema:
    """An object with these properties and no others; all of them required but the optional."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        **more,
    }


def _json(schema: Schema, about: str) -> Schema:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _refusals(*codes: str) -> Schema:
    return {code: _ref(f"Refused{code}", "responses") for code in codes}


QUESTION: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_QUESTION_LENGTH,
    "description": "A site may set a smaller length; `about` tells it.",
}
LOCALE: Schema = {
    "type": "string",
    "examples": ["en", "de"],
    "description": "The language of the page that is asked on; the site's first one without.",
}
OWN_ID: Schema = {
    "type": "string",
    "format": "uuid",
    "description": (
        "Made by the asking script. A question that was recorded under this id is not asked again: "
        "its answer is told once more."
    ),
}
CONVERSATION_ID: Schema = {
    "type": "string",
    "format": "uuid",
    "description": "Made by the asking script, and shared by questions that follow each other.",
}
EXCHANGE: Schema = {
    "type": "string",
    "description": "The id to give feedback by; empty where nothing is recorded.",
}

SCHEMAS: dict[str, Schema] = {
    "Question": _object(
        {"q": QUESTION, "locale": LOCALE, "id": OWN_ID, "conversation": CONVERSATION_ID},
        optional=("locale", "id", "conversation"),
    ),
    "FollowUp": _object(
        {
            "question": QUESTION,
            "turns": {
                "type": "array",
                "items": _ref("Turn"),
                "description": "What was said before, oldest first; the latest ones are used.",
            },
            "locale": LOCALE,
            "id": OWN_ID,
            "conversation": CONVERSATION_ID,
        },
        optional=("turns", "locale", "id", "conversation"),
    ),
    "Turn": _object({"question": QUESTION, "answer": {"type": "string"}}, optional=("answer",)),
    "Source": _object(
        {
            "title": {"type": "string"},
            "url": {"type": "string", "description": "Leads to the very place; may be relative."},
            "model": {"type": "string", "examples": ["blog.articlepage"]},
            "object_id": {"type": "string"},
        },
        description="The page, or another object, that a passage came from.",
    ),
    "Passage": _object(
        {
            "number": {"type": "integer", "minimum": 1},
            "text": {"type": "string"},
            "score": {"type": "number"},
            "source": _ref("Source"),
            "index": {"type": "string"},
            "found_by": {"type": "array", "items": {"type": "string"}},
        },
        description="What the answer is made from. The answer cites it as `[number]`.",
    ),
    "SourcesEvent": _object(
        {
            "exchange": EXCHANGE,
            "data_destination": {"type": "string", "description": "Where the question goes."},
            "passages": {"type": "array", "items": _ref("Passage")},
            "left_out": {"type": "integer", "description": "Passages that had no room."},
        },
        description="Comes first. One that comes later takes the place of the one before.",
    ),
    "TextEvent": _object(
        {"text": {"type": "string"}}, description="A piece of the answer, as plain text."
    ),
    "DoneEvent": _object(
        {
            "outcome": {"enum": [Outcome.COMPLETE.value, Outcome.NO_ANSWER.value]},
            "citations": {"type": "array", "items": {"type": "integer"}},
        },
        description="The last one, where it ended well. `no_answer`: the pages do not say.",
    ),
    "FailedEvent": _object(
        {"message": {"type": "string"}, "code": {"type": "string"}},
        description="The last one, where it did not: a sentence for the visitor.",
    ),
    "Feedback": _object(
        {
            "exchange": {"type": "string", "format": "uuid"},
            "is_helpful": {"type": ["boolean", "null"], "description": "`null` takes it back."},
            "comment": {"type": "string", "maxLength": MAX_COMMENT_LENGTH},
            "locale": LOCALE,
        },
        optional=("comment", "locale"),
    ),
    "KeptFeedback": _object(
        {
            "exchange": {"type": "string", "format": "uuid"},
            "is_helpful": {"type": ["boolean", "null"]},
            "comment": {"type": "string"},
        }
    ),
    "Result": _object(
        {
            "title": {"type": "string"},
            "url": {"type": "string"},
            "excerpt": {"type": "string", "description": "Plain text, about 240 characters."},
            "score": {"type": "number"},
        }
    ),
    "Results": _object(
        {
            "results": {"type": "array", "items": _ref("Result"), "maxItems": 10},
            "page": {"type": "integer", "minimum": 1},
            "pages": {"type": "integer", "minimum": 1},
            "count": {"type": "integer", "minimum": 0},
            "is_closest": {
                "type": "boolean",
                "description": "Nothing is like the question; these are the closest there are.",
            },
        }
    ),
    "About": _object(
        {
            "is_on": {"type": "boolean", "description": "Whether questions are answered."},
            "notice": {"type": "string", "description": "To be shown before somebody asks."},
            "data_destination": {"type": "string"},
            "is_recorded": {"type": "boolean"},
            "max_length": {"type": "integer", "description": "Of a question, in characters."},
            "reader": {
                "type": "string",
                "description": (
                    "Another one for each who is signed in, and empty for who is not: a script "
                    "that remembers a conversation forgets it when this changes."
                ),
            },
        }
    ),
    "Refusal": _object(
        {
            "message": {"type": "string", "description": "A sentence for the visitor."},
            "code": {"type": "string"},
            "search_url": {"type": "string", "description": "Where the pages can be searched."},
        },
        optional=("search_url",),
    ),
}

RETRY_AFTER: Schema = {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}}
RESPONSES: dict[str, Schema] = {
    "Stream": {
        "description": "Server-sent events; lines that begin with a colon only keep it open.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                # OpenAPI 3.1 has no word for what a stream consists of.
                "x-events": {name: _ref(schema) for name, schema in EVENTS.items()},
            }
        },
    },
    "Refused400": _json(_ref("Refusal"), "It cannot be asked like this."),
    "Refused403": _json(_ref("Refusal"), "Not from this page."),
    "Refused404": _json(_ref("Refusal"), "It is not kept, or not any more."),
    "Refused429": {
        **_json(_ref("Refusal"), "This visitor has sent too many requests."),
        "headers": RETRY_AFTER,
    },
    "Refused503": {
        **_json(
            _ref("Refusal"),
            "Nobody is answered at the moment: answers are off, the site is busy or over a limit.",
        ),
        "headers": RETRY_AFTER,
    },
}
PARAMETERS: dict[str, Schema] = {
    "locale": {"name": "locale", "in": "query", "schema": LOCALE},
}

STREAMED: Schema = {"200": _ref("Stream", "responses"), **_refusals("400", "403", "429", "503")}

ASK: Schema = {
    "operationId": "ask",
    "summary": "A question, answered in a stream of events",
    "requestBody": {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": _ref("Question")}},
    },
    "responses": STREAMED,
}
CONVERSATION: Schema = {
    "operationId": "converse",
    "summary": "A question that follows others, answered in a stream of events",
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _ref("FollowUp")}},
    },
    "responses": STREAMED,
}
FEEDBACK: Schema = {
    "operationId": "giveFeedback",
    "summary": "Whether an answer helped; the last one given counts",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _ref("Feedback")},
            "application/x-www-form-urlencoded": {"schema": _ref("Feedback")},
        },
    },
    "responses": {
        "200": _json(_ref("KeptFeedback"), "What is kept now."),
        **_refusals("400", "403", "404", "429", "503"),
    },
}
RESULTS: Schema = {
    "operationId": "search",
    "summary": "The pages that match, best first, ten at a time; no model is asked",
    "parameters": [
        {"name": "q", "in": "query", "required": True, "schema": QUESTION},
        {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 1}},
        _ref("locale", "parameters"),
    ],
    "responses": {
        "200": _json(_ref("Results"), "The nearest page there is to the one that was asked for."),
        **_refusals("400", "403", "429", "503"),
    },
}
ABOUT: Schema = {
    "operationId": "about",
    "summary": "What a page that is cached for everybody cannot say",
    "parameters": [_ref("locale", "parameters")],
    "responses": {
        "200": _json(_ref("About"), "As it is at this moment."),
        **_refusals("400", "403"),
    },
}
