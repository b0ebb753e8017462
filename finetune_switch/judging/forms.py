"""The form in which somebody grades an answer."""

from __future__ import annotations

from django import forms

from finetune_switch.models import Grade


class GradeForm(forms.ModelForm):
    """What somebody thinks of an answer; each part may come by itself."""

    class Meta:
        model = Grade
        fields = ["value", "tone", "note", "correction"]

    def clean_correction(self) -> str:
        """The answer as it was is no correction of it. Browsers send other ends of lines."""
        correction = self.cleaned_data["correction"].replace("\r\n", "\n").strip()
        said = self.instance.exchange.answer.replace("\r\n", "\n").strip()
        return "" if correction == said else correction
