"""The form in which somebody grades an answer."""

from django import forms

from finetune_switch.models import Grade


class GradeForm(forms.ModelForm):
    """One judge's grade of an answer. Every field is optional."""

    class Meta:
        model = Grade
        fields = ["value", "tone", "note", "correction"]

    def clean_correction(self) -> str:
        """Empty where it equals the answer, apart from line endings."""
        correction = self.cleaned_data["correction"].replace("\r\n", "\n").strip()
        said = self.instance.exchange.answer.replace("\r\n", "\n").strip()
        return "" if correction == said else correction
