"""The forms of chat backends and of the switch."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from wagtail.admin.forms import WagtailAdminModelForm
from wagtail.coreutils import get_content_languages
from wagtail.models import Locale

from finetune_switch import adapters
from finetune_switch.admin.widgets import LocaleTextsWidget, ModelNameInput
from finetune_switch.backends.registration import free_alias
from finetune_switch.connections import connections
from finetune_switch.models.parameters import (
    PARAMETERS,
    REASONING_LEVELS,
    Parameter,
    clean_parameters,
)

PARAMETER_PREFIX = "parameter_"
REASONING_LABELS: Mapping[str, Promise] = {
    "off": pgettext_lazy("reasoning", "Off"),
    "low": pgettext_lazy("reasoning", "Low"),
    "medium": pgettext_lazy("reasoning", "Medium"),
    "high": pgettext_lazy("reasoning", "High"),
}


class LinesField(forms.CharField):
    """Texts, one per line. Browsers send CRLF at the end of each line."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return nonblank_lines(initial) != nonblank_lines(data)


def nonblank_lines(text: str | None) -> list[str]:
    return [line for line in (text or "").splitlines() if line.strip()]


def parameter_field(parameter: Parameter) -> forms.Field:
    """The form field of one parameter. Empty means the server's default."""
    options: dict[str, Any] = {
        "label": parameter.label,
        "help_text": parameter.help_text,
        "required": False,
    }
    if parameter.name == "reasoning":
        choices = [
            ("", gettext_lazy("Left to the model")),
            *((level, REASONING_LABELS.get(level, level)) for level in REASONING_LEVELS),
        ]
        return forms.ChoiceField(choices=choices, **options)
    if parameter.name == "stop":
        return LinesField(widget=forms.Textarea(attrs={"rows": 2}), **options)
    if parameter.kind is int:
        return forms.IntegerField(**options)
    if parameter.kind is float:
        return forms.FloatField(widget=forms.NumberInput(attrs={"step": "any"}), **options)
    return forms.CharField(**options)


# Panels can only show fields that are declared on the form class.
ParameterFields: Any = type(
    "ParameterFields",
    (forms.Form,),
    {PARAMETER_PREFIX + name: parameter_field(parameter) for name, parameter in PARAMETERS.items()},
)


class ChatBackendForm(ParameterFields, WagtailAdminModelForm):
    """A backend with each of its parameters as a field of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.author = self.for_user
        for name, value in (self.instance.parameters or {}).items():
            if (field := self.fields.get(PARAMETER_PREFIX + name)) is not None:
                field.initial = "\n".join(value) if isinstance(value, list) else value
        if "alias" in self.fields:
            self.fields["alias"].required = False
            self.fields["alias"].help_text = _(
                "The short name used on the command line. Left empty, it is made from the name."
            )
        if "connection" in self.fields:
            self.fields["connection"] = forms.ChoiceField(
                label=self.fields["connection"].label,
                help_text=self.fields["connection"].help_text,
                choices=self._connection_choices(),
                widget=forms.Select(attrs={"class": "finetune-select"}),
                error_messages={
                    "required": _(
                        "There is no connection yet. Your developer declares them in the settings, "
                        "in FINETUNE_SWITCH."
                    )
                },
            )
        if "model_name" in self.fields:
            self.fields["model_name"].required = True
            self.fields["model_name"].widget = ModelNameInput()

    def _connection_choices(self) -> list[tuple[str, str]]:
        choices = [
            (alias, f"{connection.label} – {connection.data_destination}")
            for alias, connection in connections().items()
        ]
        current = self.instance.connection
        if current and current not in dict(choices):
            choices.append((current, _("%s (no longer in the settings)") % current))
        return choices

    def clean_system_prompt(self) -> str:
        # Browsers send CRLF at the end of each line.
        return self.cleaned_data["system_prompt"].replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not cleaned.get("alias") and cleaned.get("label"):
            cleaned["alias"] = free_alias(cleaned["label"])
        given = {
            name: value
            for name in PARAMETERS
            if (value := self._parameter(cleaned, name)) not in (None, "", [])
        }
        connection = connections().get(cleaned.get("connection", ""))
        parameters: dict[str, Any] = {}
        for name, value in given.items():
            try:
                # Without a connection the allowed parameters are unknown.
                parameters |= (
                    clean_parameters(connection.provider, {name: value})
                    if connection
                    else {name: PARAMETERS[name].clean(value)}
                )
            except ValidationError as error:
                self.add_error(PARAMETER_PREFIX + name, error.messages)
        self.instance.parameters = parameters
        if self._is_another_model():
            self.instance.forget_check()
        return cleaned

    def _is_another_model(self) -> bool:
        """Whether the last check no longer applies. A copy starts with that of its original."""
        return not self.instance.pk or any(
            name in ("connection", "model_name") or name.startswith(PARAMETER_PREFIX)
            for name in self.changed_data
        )

    def _parameter(self, cleaned: dict[str, Any], name: str) -> Any:
        value = cleaned.get(PARAMETER_PREFIX + name)
        if name == "stop" and value:
            return nonblank_lines(value)
        return value


class LocaleTextsField(forms.MultiValueField):
    """A text for each language, stored as ``{language code: text}``."""

    def __init__(self, languages: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        self.languages = languages
        super().__init__(
            fields=[forms.CharField(required=False, max_length=500) for _language in languages],
            widget=LocaleTextsWidget(languages),
            require_all_fields=False,
            required=False,
            **kwargs,
        )

    def compress(self, data_list: Sequence[str]) -> dict[str, str]:
        return {
            code: text.strip()
            for (code, _name), text in zip(self.languages, data_list, strict=False)
            if text and text.strip()
        }

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.compress(data or []) != (initial or {})


class SwitchForm(WagtailAdminModelForm):
    """The settings of a site's answers, except the active backend."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "indexes" in self.fields:
            self.fields["indexes"] = forms.MultipleChoiceField(
                label=self.fields["indexes"].label,
                help_text=self.fields["indexes"].help_text,
                choices=self._index_choices(),
                widget=forms.CheckboxSelectMultiple,
                required=False,
            )
        for name in ("nothing_found", "notice"):
            if name in self.fields:
                self.fields[name] = LocaleTextsField(
                    self._languages(),
                    label=self.fields[name].label,
                    help_text=self.fields[name].help_text,
                )

    @staticmethod
    def _languages() -> list[tuple[str, str]]:
        """The languages of the pages, in the order of the settings."""
        order = list(get_content_languages())
        return sorted(
            ((locale.language_code, str(locale)) for locale in Locale.objects.all()),
            key=lambda language: order.index(language[0]) if language[0] in order else len(order),
        )

    def _index_choices(self) -> list[tuple[str, str]]:
        known = [(alias, str(index.label)) for alias, index in adapters.indexes().items()]
        gone = [
            (alias, _("%s (gone)") % alias)
            for alias in self.instance.indexes or []
            if alias not in dict(known)
        ]
        return known + gone


class SwitchChoiceForm(forms.Form):
    """The new backend, and the one that the page showed as active."""

    backend = forms.IntegerField(min_value=1)
    expected = forms.IntegerField(min_value=1, required=False)
    previous = forms.IntegerField(min_value=1, required=False)
    confirmed = forms.BooleanField(required=False, label=gettext_lazy("Switch all the same"))
