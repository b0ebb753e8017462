"""What `pip install wagtail-finetune-switch` gives, from a wheel that is built here."""

from __future__ import annotations

import finetune_switch
from tests.installed import plain_environment


class TestInstalling:
    def test_one_plain_line_installs_it(self):
        installed = plain_environment().packages()
        assert {"wagtail-finetune-switch", "wagtail", "django", "litellm"} <= installed
        assert "wagtail-vector-index" not in installed

    def test_python_finds_its_version_and_its_templates(self):
        """A template that was not packaged is missed only when somebody opens the page."""
        code = (
            "import django; django.setup()\n"
            "import finetune_switch; print(finetune_switch.__version__)\n"
            "from django.template.loader import get_template\n"
            "print(get_template('finetune_switch/icons/finetune-switch.svg').origin.name)"
        )
        environment = plain_environment()
        said = environment.run("-c", code, DJANGO_SETTINGS_MODULE="bare.settings").stdout
        version, template = said.splitlines()
        assert version == finetune_switch.__version__
        assert template.startswith(str(environment.python.parent.parent))
