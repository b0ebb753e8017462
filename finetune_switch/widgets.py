from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from wagtail.admin.staticfiles import versioned_static


def admin_css() -> forms.Media:
    return forms.Media(css={"all": [versioned_static("finetune_switch/css/admin.css")]})


class ModelNameInput(forms.TextInput):
    """A model's name, typed or chosen from what the server has."""

    template_name = "finetune_switch/admin/widgets/model_name_input.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        attributes = context["widget"]["attrs"]
        context["models_url"] = attributes.pop("data-finetune-models-url-value", "")
        attributes["list"] = f"{attributes.get('id', name)}-models"
        attributes["autocomplete"] = "off"
        attributes["spellcheck"] = "false"
        return context

    @property
    def media(self) -> forms.Media:
        return admin_css() + forms.Media(
            js=[versioned_static("finetune_switch/js/finetune-models.js")]
        )


class LocaleTextsWidget(forms.MultiWidget):
    """One line for each language."""

    template_name = "finetune_switch/admin/widgets/locale_texts.html"

    def __init__(self, languages: Sequence[tuple[str, str]], attrs: Any = None) -> None:
        self.languages = languages
        widgets: dict[str, Any] = {code: forms.TextInput() for code, _name in languages}
        super().__init__(widgets or {"none": forms.HiddenInput()}, attrs)

    @property
    def media(self) -> forms.Media:
        return admin_css()

    def decompress(self, value: Any) -> list[str]:
        texts = value if isinstance(value, dict) else {}
        return [texts.get(code, "") for code, _name in self.languages]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        for subwidget, (_code, language) in zip(
            context["widget"]["subwidgets"], self.languages, strict=False
        ):
            subwidget["language"] = language
        return context
