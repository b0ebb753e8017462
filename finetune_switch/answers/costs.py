"""What an answer costs, in US dollars."""

from __future__ import annotations

from decimal import Decimal

from finetune_switch.backends.base import Usage
from finetune_switch.models import ChatBackend

OWN_SERVERS = ("ollama", "ollama_chat")
MILLION = Decimal(1_000_000)
HOUR = Decimal(3600)
# The decimal places of Exchange.cost.
PLACES = Decimal("0.00000001")
# Exchange.cost has no room for more.
MAX_COST = Decimal(10_000)


def cost_of(backend: ChatBackend, usage: Usage, duration_seconds: float) -> Decimal | None:
    """The cost by the hour or by tokens; ``None`` if the prices or the tokens are unknown."""
    if backend.kind == ChatBackend.Kind.EXTRACTIVE:
        return Decimal(0)
    if backend.hourly_price is not None:
        return _recordable(backend.hourly_price * Decimal(str(duration_seconds)) / HOUR)
    if backend.prompt_price is None and backend.completion_price is None:
        return None
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return _recordable(
        (
            usage.prompt_tokens * (backend.prompt_price or 0)
            + usage.completion_tokens * (backend.completion_price or 0)
        )
        / MILLION
    )


def _recordable(cost: Decimal) -> Decimal | None:
    return cost.quantize(PLACES) if cost < MAX_COST else None


def cost_at_least(
    backend: ChatBackend, told: Decimal | None, read: str, written: str, duration_seconds: float
) -> Decimal | None:
    """The estimated cost of an interrupted answer, for which no server reports tokens.

    Providers bill it all the same. The estimate takes four characters for a token. ``told`` is the
    cost reported so far, which is returned if it is higher.
    """
    usage = Usage(prompt_tokens=len(read) // 4, completion_tokens=len(written) // 4)
    estimate = cost_of(backend, usage, duration_seconds)
    return max(filter(None, (told, estimate)), default=told)


def embedding_cost(provider: str, model_name: str, tokens: int) -> float | None:
    """The cost of embedding these tokens by litellm's price list; ``None`` without a price."""
    if provider in OWN_SERVERS:
        return 0.0
    # litellm is slow to import, and most answers need no price list.
    from finetune_switch.backends.calls import import_litellm

    prices = import_litellm().model_cost
    for name in (f"{provider}/{model_name}", model_name):
        if (price := prices.get(name, {}).get("input_cost_per_token")) is not None:
            return float(price) * tokens
    return None
