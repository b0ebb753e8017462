"""The chat backends declared in ``WAGTAIL_VECTOR_INDEX["CHAT_BACKENDS"]``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from finetune_switch.adapters import DeclaredBackend
from finetune_switch.backends import errors
from finetune_switch.backends.base import BackendConfig, BaseChatBackend, Chunk, Text, Usage
from finetune_switch.exceptions import BackendError, ConnectionNotConfigured
from finetune_switch.messages import Message

SWITCH_CLASSES = (
    "finetune_switch.vector_index.SwitchedChatBackend",
    "finetune_switch.vector_index.chat.SwitchedChatBackend",
)


def _new_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=32, thread_name_prefix="finetune-switch-declared")


# A pool of their own, so that a backend that hangs does not block other work.
_threads = _new_threads()


def _forget_threads_after_fork() -> None:
    # The parent's threads do not exist in the child, which would wait for them.
    global _threads
    _threads = _new_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads_after_fork)


def chat_backend_settings() -> Mapping[str, Any]:
    return (getattr(settings, "WAGTAIL_VECTOR_INDEX", None) or {}).get("CHAT_BACKENDS") or {}


class DeclaredBackends:
    """The declared chat backends, except the switch itself."""

    def declared(self) -> Mapping[str, DeclaredBackend]:
        return {
            alias: DeclaredBackend(
                alias=alias,
                model_name=str((declaration.get("CONFIG") or {}).get("MODEL_ID", "")),
                label=alias,
                context_window=(declaration.get("CONFIG") or {}).get("TOKEN_LIMIT"),
            )
            for alias, declaration in chat_backend_settings().items()
            if declaration.get("CLASS") not in SWITCH_CLASSES
        }

    def build(self, alias: str, config: BackendConfig) -> BaseChatBackend:
        return DeclaredChatBackend(config, alias)


class DeclaredChatBackend(BaseChatBackend):
    """Wraps any chat backend of wagtail-vector-index.

    The answer is not streamed. In wagtail-vector-index 0.10 the streams of the litellm backend end
    in an ``AssertionError``, and some backends have none.
    """

    streams = False

    def __init__(self, config: BackendConfig, alias: str) -> None:
        super().__init__(config)
        self.alias = alias

    async def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk, None]:
        seconds = self.config.deadlines.total
        try:
            async with asyncio.timeout(seconds):
                # Only the synchronous ``chat()`` is implemented by all backends.
                loop = asyncio.get_running_loop()
                text = await loop.run_in_executor(_threads, self._chat, messages)
        except TimeoutError as error:
            raise errors.total_deadline(seconds) from error
        except BackendError:
            raise
        except Exception as error:
            raise errors.translate(error, self.config) from error
        if not text:
            raise errors.empty_answer()
        yield Text(text)
        yield Usage()

    def _chat(self, messages: Sequence[Message]) -> str:
        from wagtail_vector_index.ai import get_chat_backend

        try:
            backend = get_chat_backend(self.alias)
        except KeyError as error:
            raise ConnectionNotConfigured(
                _("The settings no longer declare “%s”.") % self.alias, code="misconfigured"
            ) from error
        return "".join(backend.chat(messages=list(messages)).choices[:1])
