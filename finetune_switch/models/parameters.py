"""The model parameters that each provider accepts. Others are rejected by name.

The lists contain the parameters that litellm passes on unchanged. Ollama silently ignores unknown
options, and litellm maps some of OpenAI's to a different one there (``frequency_penalty`` becomes
``repeat_penalty``), so neither can be relied on to reject them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

REASONING_LEVELS = ("off", "low", "medium", "high")
_DURATION = re.compile(r"-?\d+(\.\d+)?(ms|s|m|h)?")


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: type
    label: str | Promise
    help_text: str | Promise
    minimum: float | None = None
    maximum: float | None = None

    def clean(self, value: Any) -> Any:
        """Convert the value to the parameter's type. Raises ``ValidationError``."""
        if self.name == "stop":
            items = [value] if isinstance(value, str) else value
            if not isinstance(items, list) or not all(isinstance(i, str) and i for i in items):
                raise ValidationError(_("stop must be a list of texts, not %r.") % (value,))
            if len(items) > 4:
                raise ValidationError(_("stop takes four texts at most."))
            return items
        if self.name == "reasoning":
            if value not in REASONING_LEVELS:
                raise ValidationError(
                    _("reasoning must be one of %(levels)s, not “%(value)s”.")
                    % {"levels": ", ".join(REASONING_LEVELS), "value": value}
                )
            return value
        if self.name == "keep_alive":
            if not _DURATION.fullmatch(str(value)):
                raise ValidationError(
                    _("keep_alive must be a duration such as 30m, or -1 for always, not “%s”.")
                    % value
                )
            return str(value)
        return self._clean_number(value)

    def _clean_number(self, value: Any) -> int | float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ValidationError(
                _("%(name)s must be a number, not “%(value)s”.")
                % {"name": self.name, "value": value}
            )
        if self.kind is int and value != int(value):
            raise ValidationError(
                _("%(name)s must be a whole number, not %(value)s.")
                % {"name": self.name, "value": value}
            )
        if (self.minimum is not None and value < self.minimum) or (
            self.maximum is not None and value > self.maximum
        ):
            raise ValidationError(
                _("%(name)s must lie between %(minimum)s and %(maximum)s, not at %(value)s.")
                % {
                    "name": self.name,
                    "minimum": self.minimum,
                    "maximum": self.maximum,
                    "value": value,
                }
            )
        return self.kind(value)


PARAMETERS: Mapping[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter(
            "temperature",
            float,
            gettext_lazy("Temperature"),
            gettext_lazy("0 gives the most even answers; higher values vary more."),
            0,
            2,
        ),
        Parameter(
            "top_p",
            float,
            gettext_lazy("Top p"),
            gettext_lazy("Only the most likely words up to this total probability are considered."),
            0,
            1,
        ),
        Parameter(
            "max_tokens",
            int,
            gettext_lazy("Longest answer"),
            gettext_lazy("In tokens; 100 tokens are about 75 words."),
            1,
            32_000,
        ),
        Parameter(
            "seed",
            int,
            gettext_lazy("Seed"),
            gettext_lazy("The same number makes answers easier to repeat."),
            0,
            2**31 - 1,
        ),
        Parameter(
            "stop",
            list,
            gettext_lazy("Stop at"),
            gettext_lazy("The answer ends where one of these texts would begin. One on each line."),
        ),
        Parameter(
            "num_ctx",
            int,
            gettext_lazy("Context length on the server"),
            gettext_lazy(
                "In tokens. Leave empty to use the model's own; for another one the server "
                "loads the model again."
            ),
            256,
            1_048_576,
        ),
        Parameter(
            "keep_alive",
            str,
            gettext_lazy("Keep in memory"),
            gettext_lazy("How long Ollama keeps the model loaded, such as 30m; -1 for always."),
        ),
        Parameter(
            "reasoning",
            str,
            gettext_lazy("Reasoning"),
            gettext_lazy("How long the model thinks before it answers, where it can."),
        ),
    )
}

_COMMON = ("temperature", "top_p", "max_tokens", "seed", "stop")
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "openai": (*_COMMON, "reasoning"),
    "ollama": (*_COMMON, "num_ctx", "keep_alive", "reasoning"),
    "ollama_chat": (*_COMMON, "num_ctx", "keep_alive", "reasoning"),
}


def allowed_parameters(provider: str) -> tuple[str, ...]:
    return ALLOWED.get(provider, _COMMON)


def clean_parameters(provider: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Validate parameters for a provider and convert them to their types.

    Raises ``ValidationError`` with one message for each invalid value.
    """
    if not isinstance(values, Mapping):
        raise ValidationError(_("Parameters must be names with values."))
    cleaned, errors = {}, []
    for name, value in values.items():
        if name not in allowed_parameters(provider):
            errors.append(
                _("“%(name)s” cannot be set for %(provider)s. It takes: %(allowed)s.")
                % {
                    "name": name,
                    "provider": provider,
                    "allowed": ", ".join(allowed_parameters(provider)),
                }
            )
            continue
        try:
            cleaned[name] = PARAMETERS[name].clean(value)
        except ValidationError as error:
            errors.extend(error.messages)
    if errors:
        raise ValidationError(errors)
    return cleaned


def is_cloud_model(provider: str, model_name: str) -> bool:
    """Whether Ollama would run this model in its own cloud instead of on the server."""
    return provider in ("ollama", "ollama_chat") and model_name.lower().endswith(
        (":cloud", "-cloud")
    )
