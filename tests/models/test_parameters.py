from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from finetune_switch.models.parameters import (
    PARAMETERS,
    allowed_parameters,
    clean_parameters,
    is_cloud_model,
)


@pytest.mark.parametrize("provider", ["openai", "ollama_chat", "anthropic"])
def test_allowed_parameters_have_label_and_help_text(provider):
    for name in allowed_parameters(provider):
        assert str(PARAMETERS[name].label)
        assert str(PARAMETERS[name].help_text)


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"temperature": 0, "top_p": 1}, {"temperature": 0.0, "top_p": 1.0}),
        ({"max_tokens": 200.0}, {"max_tokens": 200}),
        ({"seed": 0}, {"seed": 0}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"stop": ["a", "b", "c", "d"]}, {"stop": ["a", "b", "c", "d"]}),
        ({"keep_alive": -1}, {"keep_alive": "-1"}),
        ({"keep_alive": "1.5h"}, {"keep_alive": "1.5h"}),
        ({"num_ctx": 8192, "reasoning": "off"}, {"num_ctx": 8192, "reasoning": "off"}),
        ({}, {}),
    ],
)
def test_values_are_converted(given, cleaned):
    result = clean_parameters("ollama_chat", given)
    assert result == cleaned
    assert [type(value) for value in result.values()] == [type(v) for v in cleaned.values()]


@pytest.mark.parametrize(
    ("provider", "given", "named"),
    [
        ("ollama_chat", {"frequency_penalty": 1}, "frequency_penalty"),
        ("ollama_chat", {"options": {}}, "options"),
        ("openai", {"num_ctx": 8192}, "num_ctx"),
        ("openai", {"keep_alive": "5m"}, "keep_alive"),
        ("anthropic", {"reasoning": "low"}, "reasoning"),
        ("openai", {"api_key": "x"}, "api_key"),
        ("openai", {"api_base": "http://elsewhere.example"}, "api_base"),
        ("openai", {"temperature": 2.1}, "between 0 and 2"),
        ("openai", {"temperature": "hot"}, "temperature"),
        ("openai", {"temperature": True}, "temperature"),
        ("openai", {"temperature": float("nan")}, "temperature"),
        ("openai", {"max_tokens": float("inf")}, "max_tokens"),
        ("openai", {"max_tokens": 1.5}, "max_tokens"),
        ("openai", {"max_tokens": 0}, "max_tokens"),
        ("openai", {"seed": -1}, "seed"),
        ("openai", {"stop": [""]}, "stop"),
        ("openai", {"stop": list("abcde")}, "stop"),
        ("openai", {"stop": 3}, "stop"),
        ("openai", {"reasoning": "very"}, "reasoning"),
        ("openai", {"reasoning": ["low"]}, "reasoning"),
        ("ollama_chat", {"keep_alive": "soon"}, "keep_alive"),
        ("ollama_chat", {"num_ctx": 10}, "num_ctx"),
    ],
)
def test_invalid_values_are_named(provider, given, named):
    with pytest.raises(ValidationError) as caught:
        clean_parameters(provider, given)
    (sentence,) = caught.value.messages
    assert named in sentence


def test_one_message_for_each_invalid_value():
    with pytest.raises(ValidationError) as caught:
        clean_parameters("openai", {"temperature": 9, "wibble": 1, "seed": 1})
    assert len(caught.value.messages) == 2
    with pytest.raises(ValidationError):
        clean_parameters("openai", ["temperature"])


@pytest.mark.parametrize(
    ("provider", "name", "is_cloud"),
    [
        ("ollama_chat", "gpt-oss:120b-cloud", True),
        ("ollama", "KIMI:CLOUD", True),
        ("ollama_chat", "cloudy:8b", False),
        ("ollama_chat", "thundercloud", False),
        ("openai", "model-cloud", False),
    ],
)
def test_is_cloud_model(provider, name, is_cloud):
    assert is_cloud_model(provider, name) is is_cloud
