"""What an answer costs, in US dollars."""

from __future__ import annotations

from decimal import Decimal

from finetune_switch.backends.base import Usage
from finetune_switch.models import ChatBackend

OWN_SERVERS = ("ollama", "ollama_chat")
MILLION = Decimal(1_000_000)
HOUR = Decimal(3600)
# As many places as the exchange keeps.
PLACES = Decimal("0.00000001")


def cost_of(backend: ChatBackend, usage: Usage, duration_seconds: float) -> Decimal | None:
    """Its tokens at its prices, or its share of a server's hour; ``None`` if neither is known."""
    if backend.kind == ChatBackend.Kind.EXTRACTIVE:
        return Decimal(0)
    if backend.hourly_price is not None:
        return (backend.hourly_price * Decimal(str(duration_seconds)) / HOUR).quantize(PLACES)
    if backend.prompt_price is None and backend.completion_price is None:
        return None
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return (
        (
            usage.prompt_tokens * (backend.prompt_price or 0)
            + usage.completion_tokens * (backend.completion_price or 0)
        )
        / MILLION
    ).quantize(PLACES)


def cost_at_least(
    backend: ChatBackend, told: Decimal | None, read: str, written: str, duration_seconds: float
) -> Decimal | None:
    """What an answer has cost that broke off before its server told: about four letters a token.

    It is billed all the same. What was ``told`` until then, if more, stands.
    """
    usage = Usage(prompt_tokens=len(read) // 4, completion_tokens=len(written) // 4)
    about = cost_of(backend, usage, duration_seconds)
    return max(filter(None, (told, about)), default=told)


def embedding_cost(provider: str, model_name: str, tokens: int) -> float | None:
    """What so many tokens cost to embed, by litellm's own price list; ``None`` if it has none."""
    if provider in OWN_SERVERS:
        return 0.0
    # The client's libraries are slow to import, and most answers need no price list.
    from finetune_switch.backends.calls import import_litellm

    prices = import_litellm().model_cost
    for name in (f"{provider}/{model_name}", model_name):
        if (price := prices.get(name, {}).get("input_cost_per_token")) is not None:
            return float(price) * tokens
    return None
