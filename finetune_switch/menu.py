"""The plugin's group in the admin menu."""

from __future__ import annotations

from django.utils.translation import gettext_lazy
from wagtail.admin.viewsets.base import ViewSetGroup

from .comparisons.viewsets import CompareViewSet, ComparisonsViewSet
from .evaluation.viewsets import QuestionSetViewSet, QuestionViewSet, RunViewSet
from .index.viewsets import IndexViewSet
from .prepared.viewsets import PreparedAnswerViewSet
from .switching.viewsets import ChatBackendViewSet, SwitchViewSet
from .visitor_questions.viewsets import VisitorQuestionsViewSet


class FinetuneSwitchGroup(ViewSetGroup):
    menu_label = gettext_lazy("AI answers")
    menu_icon = "finetune-switch"
    menu_order = 250
    items = (
        CompareViewSet,
        ComparisonsViewSet,
        VisitorQuestionsViewSet,
        SwitchViewSet,
        QuestionViewSet,
        QuestionSetViewSet,
        RunViewSet,
        PreparedAnswerViewSet,
        ChatBackendViewSet,
        IndexViewSet,
    )
