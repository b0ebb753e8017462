from django.utils.translation import gettext_lazy
from wagtail.admin.viewsets.model import ModelViewSet

from finetune_switch.models import Question, QuestionSet

from .question_forms import question_edit_handler, question_set_edit_handler
from .views import questions


class QuestionViewSet(ModelViewSet):
    model = Question
    name = "finetune_questions"
    url_prefix = "finetune/questions"
    icon = "help"
    menu_label = gettext_lazy("Questions")
    edit_handler = question_edit_handler
    copy_view_enabled = True
    add_to_reference_index = False
    index_view_class = questions.QuestionIndexView
    add_view_class = questions.QuestionCreateView
    edit_view_class = questions.QuestionEditView
    copy_view_class = questions.QuestionCopyView
    # The index view searches reference answers too, as far as the user may read them.
    search_fields = ["text"]


class QuestionSetViewSet(ModelViewSet):
    model = QuestionSet
    name = "finetune_question_sets"
    url_prefix = "finetune/question-sets"
    icon = "folder-open-inverse"
    menu_label = gettext_lazy("Question sets")
    edit_handler = question_set_edit_handler
    copy_view_enabled = False
    add_to_reference_index = False
    index_view_class = questions.QuestionSetIndexView
    edit_view_class = questions.QuestionSetEditView
    search_fields = ["name", "description"]
