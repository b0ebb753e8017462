"""The admin as a person has it: a page is what can be read on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bs4 import BeautifulSoup, Tag
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse


@dataclass
class Page:
    """One answer of the server, read as HTML."""

    response: HttpResponse

    @cached_property
    def html(self) -> str:
        return self.response.content.decode()

    @cached_property
    def soup(self) -> BeautifulSoup:
        return BeautifulSoup(self.html, "html.parser")

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def main(self) -> Tag:
        found = self.soup.select_one("main#main, main")
        assert found is not None, self.html[:500]
        return found

    @property
    def text(self) -> str:
        """What stands on the page, without Wagtail's menu, in one line."""
        return " ".join(self.main.get_text(" ").split())

    @property
    def messages(self) -> list[str]:
        """The messages at the top, which tell what an action did."""
        found = self.soup.select(".messages ul > li")
        for button in (button for li in found for button in li.select("button, .buttons, a")):
            button.extract()
        return [" ".join(li.get_text(" ").split()) for li in found]

    @property
    def message(self) -> str:
        assert len(self.messages) == 1, self.messages
        return self.messages[0]

    @property
    def buttons(self) -> list[str]:
        """What can be pressed in our part of the page: submit buttons of forms that post."""
        return [
            " ".join(button.get_text(" ").split())
            for form in self.main.select("form")
            if str(form.get("method", "")).lower() == "post"
            for button in form.select("button[type=submit]")
        ]

    def links(self, text: str) -> list[str]:
        return [
            str(link["href"])
            for link in self.main.select("a[href]")
            if text in " ".join(link.get_text(" ").split())
        ]

    def errors(self, field: str) -> str:
        """What the form says is wrong with one field."""
        return " ".join(
            found.get_text(" ").strip()
            for found in self.soup.select(f"#panel-child-{field}-errors, [id$='{field}-errors']")
        )


@dataclass
class Admin:
    """Somebody's browser, without the scripts."""

    client: Client
    user: Any

    def get(self, view: str, /, *args: Any, **query: Any) -> Page:
        return Page(self.client.get(address(view, *args), query))

    def post(self, view: str, /, *args: Any, follow: bool = True, **data: Any) -> Page:
        return Page(self.client.post(address(view, *args), data, follow=follow))


def address(name: str, *args: Any) -> str:
    """The address of a page of ours (``switch:site``), or of any page by its full name."""
    if not name.startswith(("wagtail", "finetune_")):
        name = f"finetune_{name}"
    return reverse(name, args=args)


def form_values(page: Page) -> dict[str, Any]:
    """What a browser would send if the form of a page were saved as it stands."""
    form = next(f for f in page.main.select("form") if f.select("[name=csrfmiddlewaretoken]"))
    values: dict[str, Any] = {}
    for field in form.select("input[name], textarea[name], select[name]"):
        name, kind = str(field["name"]), field.get("type")
        if kind in ("checkbox", "radio") and not field.has_attr("checked"):
            continue
        if kind in ("submit", "button"):
            continue
        if field.name == "select":
            chosen = field.select("option[selected]")
            values[name] = str((chosen or field.select("option"))[0].get("value", ""))
        elif field.name == "textarea":
            values[name] = field.get_text().removeprefix("\n")
        elif kind == "checkbox":
            values.setdefault(name, []).append(str(field.get("value", "on")))
        else:
            values[name] = str(field.get("value", ""))
    return values


def inline_in(main):
    scripts = [
        script
        for script in main.select("script:not([src])")
        # Wagtail's own: the dates in the filters of its reports.
        if script.get("type") != "application/json" and "initDateChooser" not in script.text
    ]
    styled = main.select('style, [style], [href^="javascript:"]')
    handled = [tag for tag in main.find_all(True) if any(name[:2] == "on" for name in tag.attrs)]
    return scripts + styled + handled


def rows(page):
    """The titles of a list's rows."""
    return [
        " ".join(cell.select_one(".title-wrapper").get_text(" ").split())
        for cell in page.main.select("table td.title")
    ]
