from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy
from wagtail.admin.viewsets.base import ViewSet
from wagtail.admin.viewsets.model import ModelViewSet

from finetune_switch.admin import permissions
from finetune_switch.admin.menu_items import shown_to
from finetune_switch.models import Question, QuestionSet

from .question_forms import question_edit_handler, question_set_edit_handler
from .views import answers, grading, questions, report, runs, starting


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


class RunViewSet(ViewSet):
    name = "finetune_runs"
    url_prefix = "finetune/evaluations"
    menu_label = gettext_lazy("Evaluations")
    menu_icon = icon = "tasks"
    menu_item_class = shown_to(permissions.may_see_runs)

    def get_urlpatterns(self) -> list[URLPattern]:
        rows = runs.RunIndexView
        return [
            path("", rows.as_view(), name="index"),
            path("results/", rows.as_view(results_only=True), name="index_results"),
            path("new/", starting.StartView.as_view(), name="start"),
            path("<int:pk>/", runs.RunView.as_view(), name="run"),
            path("<int:pk>/progress/", runs.ProgressView.as_view(), name="progress"),
            path("<int:pk>/pause/", runs.PauseView.as_view(), name="pause"),
            path("<int:pk>/resume/", runs.ResumeView.as_view(), name="resume"),
            path("<int:pk>/cancel/", runs.CancelView.as_view(), name="cancel"),
            path("<int:pk>/again/", runs.AgainView.as_view(), name="again"),
            path("<int:pk>/delete/", runs.RunDeleteView.as_view(), name="delete"),
            path("<int:pk>/report/", report.ReportView.as_view(), name="report"),
            path("<int:pk>/export/", answers.ExportView.as_view(), name="export"),
            path("<int:pk>/grade/", grading.GradeView.as_view(), name="grade"),
            path("<int:pk>/grade/card/", grading.GradeCardView.as_view(), name="grade_card"),
            path("<int:pk>/grade/give/", grading.GiveGradeView.as_view(), name="give_grade"),
            path("<int:pk>/<int:position>/", answers.QuestionView.as_view(), name="question"),
        ]
