"""The cost of an answer, in numbers that are easy to check."""

from __future__ import annotations

from decimal import Decimal

import pytest

from finetune_switch.answers.costs import cost_of
from finetune_switch.backends.base import Usage
from finetune_switch.models import ChatBackend


def backend(**prices):
    return ChatBackend(**{name: Decimal(price) for name, price in prices.items()})


@pytest.mark.parametrize(
    ("prices", "tokens", "dollars"),
    [
        # 1,200 at $0.15 and 300 at $0.60 a million: 0.00018 + 0.00018
        ({"prompt_price": "0.15", "completion_price": "0.60"}, (1200, 300), "0.00036000"),
        ({"prompt_price": "2.50", "completion_price": "10"}, (1_000_000, 1_000_000), "12.50000000"),
        ({"prompt_price": "0.15"}, (1000, 5000), "0.00015000"),
        ({"completion_price": "0.60"}, (1000, 5000), "0.00300000"),
        ({"prompt_price": "0.0001", "completion_price": "0"}, (1, 1), "0E-8"),
        ({"prompt_price": "0.15", "completion_price": "0.60"}, (0, 0), "0E-8"),
        ({}, (1200, 300), None),
        ({"prompt_price": "0.15", "completion_price": "0.60"}, (None, None), None),
        ({"prompt_price": "0.15", "completion_price": "0.60"}, (1200, None), None),
    ],
)
def test_by_tokens(prices, tokens, dollars):
    cost = cost_of(backend(**prices), Usage(*tokens), 3.0)
    assert cost == (None if dollars is None else Decimal(dollars))


@pytest.mark.parametrize(
    ("hourly", "seconds", "dollars"),
    # $0.60 an hour for 3 seconds: 0.60 × 3 / 3600
    [("0.60", 3.0, "0.00050000"), ("1.20", 0.5, "0.00016667"), ("0.60", 3600, "0.60000000")],
)
def test_by_the_hour(hourly, seconds, dollars):
    assert cost_of(backend(hourly_price=hourly), Usage(), seconds) == Decimal(dollars)


def test_no_model_costs_nothing():
    assert cost_of(ChatBackend.extractive(), Usage(), 1.0) == 0
