"""Who may read reference answers, which may say what only some readers may know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from finetune_switch.access import Asker
from finetune_switch.access.visibility import page_model
from finetune_switch.models import Comparison, Question
from finetune_switch.passages import Source
from finetune_switch.search.readers import Reader


def readable_references(user: Any, questions: Sequence[Question]) -> set[Any]:
    """Primary keys of the questions whose reference answers the user may read now.

    The user has to be able to open the pages of the question, and the sources of the comparisons
    that it was saved from.
    """
    reader = Reader(user, Asker.from_user(user))
    label = page_model()._meta.label_lower
    sources = {
        question.pk: [Source("", "", label, str(pk)) for pk in question.page_ids]
        for question in questions
    }
    wanted = {source for found in sources.values() for source in found}
    reader.access.look_up(wanted, None)
    # A page that was deleted after the question was written tells nobody anything.
    ids = {source.object_id for source in wanted}
    existing = {
        str(pk)
        for pk in page_model()._default_manager.filter(pk__in=ids).values_list("pk", flat=True)
    }
    saved = defaultdict(list)
    rows = Comparison.objects.filter(saved_question__in=[pk for pk in sources if pk is not None])
    for comparison in rows.select_related("site"):
        saved[comparison.saved_question_id].append(comparison)
    readable = reader.may_read([row for found in saved.values() for row in found])
    return {
        pk
        for pk, found in sources.items()
        if reader.access.are_open([one for one in found if one.object_id in existing], None)
        and all(comparison.pk in readable for comparison in saved[pk])
    }


def may_read_reference(user: Any, question: Question) -> bool:
    return not question.reference_answer or bool(readable_references(user, [question]))
