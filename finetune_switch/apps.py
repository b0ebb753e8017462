from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class FinetuneSwitchConfig(AppConfig):
    name = "finetune_switch"
    label = "finetune_switch"
    verbose_name = gettext_lazy("AI answers")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import adapters, checks, signal_handlers
        from .index import exclusions
        from .index.registry import SiteIndexes

        adapters.register_indexes(SiteIndexes())
        checks.register_checks()
        signal_handlers.register_signal_handlers()
        exclusions.add_panels()
