import json
import re
from collections.abc import Sequence
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import gettext as _
from wagtail.admin.staticfiles import versioned_static
from wagtail.admin.widgets import AdminTagWidget

from finetune_switch.access.visibility import page_model

# Fits into the integers of every database.
PAGE_ID = re.compile(r"[0-9]{1,18}")


def admin_css() -> forms.Media:
    return forms.Media(css={"all": [versioned_static("finetune_switch/admin/admin.css")]})


class ModelNameInput(forms.TextInput):
    """A model's name, typed or chosen from the server's list."""

    template_name = "finetune_switch/admin/widgets/model_name_input.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        attributes = context["widget"]["attrs"]
        context["models_url"] = reverse("finetune_backends:models")
        attributes["list"] = f"{attributes.get('id', name)}-models"
        attributes["autocomplete"] = "off"
        attributes["spellcheck"] = "false"
        return context

    @property
    def media(self) -> forms.Media:
        return admin_css() + forms.Media(
            js=[versioned_static("finetune_switch/admin/finetune-models.js")]
        )


class LocaleTextsWidget(forms.MultiWidget):
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


class NamedTagWidget(AdminTagWidget):
    """Wagtail's tag field with an accessible name, which its input lacks."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        attributes = context["widget"]["attrs"]
        options = json.loads(attributes["data-w-tag-options-value"])
        options["placeholderText"] = _("Add a tag")
        attributes["data-w-tag-options-value"] = json.dumps(options)
        return context


class PagesWidget(forms.Widget):
    """Pages chosen in Wagtail's chooser; deleted ones are marked."""

    template_name = "finetune_switch/admin/widgets/pages.html"
    use_fieldset = True

    @property
    def media(self) -> forms.Media:
        return admin_css() + forms.Media(
            js=[
                versioned_static("wagtailadmin/js/page-chooser-modal.js"),
                versioned_static("finetune_switch/admin/finetune-pages.js"),
            ]
        )

    def id_for_label(self, id_: str) -> str:
        # A label would name only the first field of the group.
        return ""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        return data.getlist(name) if hasattr(data, "getlist") else data.get(name, [])

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        # The browser sends nothing where every page was removed.
        return False

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        model = page_model()
        ids = [str(pk) for pk in value or ()]
        known = [pk for pk in ids if PAGE_ID.fullmatch(pk)]
        found = {str(page.pk): page for page in model._default_manager.filter(pk__in=known)}
        context["widget"] |= {
            "pages": [
                {
                    "id": pk,
                    "title": page.get_admin_display_title() if page else "",
                    "is_gone": page is None,
                }
                for pk in ids
                for page in [found.get(pk)]
            ],
            "further": {"id": "", "title": ""},
            "chooser_url": reverse("wagtailadmin_choose_page"),
            "model_name": model._meta.label_lower,
        }
        return context
