"""The site setting that selects the active chat backend."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy, override
from django.utils.translation import gettext as _
from wagtail.contrib.settings.models import BaseSiteSetting
from wagtail.log_actions import log
from wagtail.models import Site

from finetune_switch.exceptions import SwitchConflict

from .backend import ChatBackend

SWITCH_ACTION = "finetune_switch.switch"


class Switch(BaseSiteSetting):
    """The active chat backend of a site, and its settings for retrieval and visitors.

    ``active`` and ``previous`` only change through :meth:`activate` and :meth:`back`. ``save()``
    leaves them out, so that a settings form opened before somebody switched does not undo it.
    """

    SWITCHED_FIELDS = ("active", "previous", "switched_at", "switched_by")

    active = models.ForeignKey(
        ChatBackend,
        verbose_name=gettext_lazy("active backend"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="active_on",
    )
    previous = models.ForeignKey(
        ChatBackend,
        verbose_name=gettext_lazy("previous backend"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="previous_on",
    )
    switched_at = models.DateTimeField(null=True, editable=False)
    switched_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    indexes = models.JSONField(
        gettext_lazy("indexes"),
        default=list,
        blank=True,
        help_text=gettext_lazy("Where answers are looked for. None chosen: everywhere."),
    )
    passages = models.PositiveSmallIntegerField(
        gettext_lazy("passages"),
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text=gettext_lazy("How many passages of your pages the model is given, 1 to 20."),
    )
    similarity_threshold = models.FloatField(
        gettext_lazy("similarity threshold"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=gettext_lazy(
            "From 0 to 1. Passages that are less similar to the question, and have few of its "
            "words, are not used. If none is left, no model is asked. Empty: as measured for the "
            "embedding model."
        ),
    )
    nothing_found = models.JSONField(
        gettext_lazy("when nothing is found"),
        default=dict,
        blank=True,
        help_text=gettext_lazy("What to say when the pages hold no answer, in each language."),
    )
    answers_visitors = models.BooleanField(
        gettext_lazy("answer visitors"),
        default=True,
        help_text=gettext_lazy(
            "Untick this to stop all answers to visitors at once. Search keeps working."
        ),
    )
    notice = models.JSONField(
        gettext_lazy("notice"),
        default=dict,
        blank=True,
        help_text=gettext_lazy(
            "What visitors are told before they ask, in each language: where their questions go, "
            "and what is kept."
        ),
    )

    class Meta:
        verbose_name = gettext_lazy("AI answers")
        verbose_name_plural = gettext_lazy("AI answers")
        permissions = [("activate_switch", gettext_lazy("Can switch the chat backend"))]

    @classmethod
    def for_question(cls, site: Site | None) -> Switch:
        """The switch for a question on this site, in one query and without writing.

        Without a site, the default site's switch, with the site loaded. A site without a row gets
        an unsaved switch, whose backend is the extractive one.
        """
        switches = cls.objects.select_related("active")
        if site is None:
            switch = switches.select_related("site").filter(site__is_default_site=True).first()
            return switch or cls(site=Site.objects.filter(is_default_site=True).first())
        if (switch := switches.filter(site=site).first()) is None:
            return cls(site=site)
        switch.site = site
        return switch

    @property
    def site_or_none(self) -> Site | None:
        """The site; ``None`` in a project without sites."""
        return self.site if self.site_id else None

    @property
    def backend(self) -> ChatBackend:
        """The active backend, or the extractive one if none is selected."""
        return self.active or ChatBackend.extractive()

    def nothing_found_text(self, locale: str | None = None) -> str:
        """The reply in this language if the pages hold no answer."""
        language = locale or get_language() or settings.LANGUAGE_CODE
        if text := self.text_in(self.nothing_found, language):
            return text
        with override(language):
            return _("I don't know.")

    @staticmethod
    def text_in(texts: dict[str, str] | None, language: str) -> str:
        """The text for this language code, or for its base language; empty without either."""
        texts = texts or {}
        return texts.get(language) or texts.get(language.split("-")[0]) or ""

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk and not self._state.adding and kwargs.get("update_fields") is None:
            kwargs["update_fields"] = [
                field.attname
                for field in self._meta.concrete_fields
                if not field.primary_key and field.name not in self.SWITCHED_FIELDS
            ]
        super().save(*args, **kwargs)

    def activate(
        self, new: ChatBackend, *, expected: int | None, user: Any = None
    ) -> ChatBackend | None:
        """Make ``new`` the active backend if ``expected`` still is. Returns the previous one.

        ``expected`` is the primary key of the backend that the caller believes to be active, or
        ``None``. Raises :class:`SwitchConflict` if another one is active, and ``ValidationError``
        if ``new`` cannot answer at all. Callers check permissions. ``user`` is recorded and
        logged.
        """
        return self._change(new, expected=expected, user=user)

    def _change(
        self, new: ChatBackend, *, expected: int | None, user: Any, **unchanged: Any
    ) -> ChatBackend | None:
        if problem := new.unavailable_reason:
            raise ValidationError(problem)
        if new.pk == expected:
            self.refresh_from_db()
            if self.active_id != expected:
                raise SwitchConflict(self._conflict_message())
            raise ValidationError(_("“%s” is active already.") % new)
        before = ChatBackend.objects.answering(expected)
        with transaction.atomic():
            changed = (
                type(self)
                .objects.filter(pk=self.pk, active_id=expected, **unchanged)
                .update(
                    active=new,
                    # Selecting the extractive backend explicitly where it was the default
                    # leaves nothing to switch back to.
                    previous=None if before == new else before,
                    switched_at=timezone.now(),
                    switched_by=user if getattr(user, "pk", None) else None,
                )
            )
            self.refresh_from_db()
            if not changed:
                raise SwitchConflict(self._conflict_message())
            log(
                instance=self,
                action=SWITCH_ACTION,
                user=user if getattr(user, "pk", None) else None,
                data={
                    "backend": {
                        "old": self._log_entry(self.previous),
                        "new": self._log_entry(self.active),
                    }
                },
            )
        return self.previous

    def back(
        self, *, expected: int | None, to: int | None = None, user: Any = None
    ) -> ChatBackend | None:
        """Swap the active and the previous backend.

        ``to`` is the primary key of the backend that the caller believes to be the previous one.
        It detects that others have switched twice since: ``expected`` is then active again, with
        another previous backend.
        """
        if self.previous is None:
            raise ValidationError(_("There is no backend to switch back to."))
        if to is not None and to != self.previous_id:
            raise SwitchConflict(self._conflict_message())
        return self._change(
            self.previous, expected=expected, user=user, previous_id=self.previous_id
        )

    def _conflict_message(self) -> str:
        return _(
            "Nothing was changed: %(who)s switched to “%(backend)s” while this page was open. "
            "Look again, and switch if you still want to."
        ) % {"who": self.switched_by or _("somebody"), "backend": self.backend}

    @staticmethod
    def _log_entry(backend: ChatBackend | None) -> dict[str, str]:
        backend = backend or ChatBackend.extractive()
        return {"alias": backend.alias, "label": str(backend), "model": backend.model_name}
