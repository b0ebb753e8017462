from wagtail import hooks
from wagtail.contrib.settings.registry import register_setting

from .admin.log_actions import register_log_actions
from .admin.permissions import grantable_permissions
from .index.exclusions import copy_ticks, save_ticks
from .menu import FinetuneSwitchGroup
from .models import Switch
from .switching.home import add_home_panel
from .switching.panels import switch_edit_handler
from .visitor_questions.viewsets import visitors_questions_report

Switch.edit_handler = switch_edit_handler
register_setting(Switch, icon="finetune-switch", order=300)

hooks.register("register_admin_viewset", FinetuneSwitchGroup)
hooks.register("register_reports_menu_item", visitors_questions_report)
hooks.register("register_permissions", grantable_permissions)
hooks.register("register_log_actions", register_log_actions)
hooks.register("construct_homepage_panels", add_home_panel)
hooks.register("after_create_page", save_ticks)
hooks.register("after_edit_page", save_ticks)
hooks.register("after_copy_page", copy_ticks)


@hooks.register("register_icons")
def register_icons(icons: list[str]) -> list[str]:
    return [*icons, "finetune_switch/icons/finetune-switch.svg"]
