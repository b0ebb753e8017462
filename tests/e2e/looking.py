"""What is wrong with a page for somebody: in small or large, in light or dark, on a telephone."""

from __future__ import annotations

import itertools
from functools import cache

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.thorough import THOROUGH

NARROW, WIDE = (320, 640), (1280, 900)
# Of Wagtail's, and the same on every page of its admin: the menu, and the icons' drawings.
SHELL = [["#wagtail-sidebar"], ["[data-sprite]"]]
# Each size and each theme once, where there is no time for all four.
WAYS = [(NARROW, "light"), (WIDE, "dark")]
if THOROUGH:
    WAYS = [*itertools.product((NARROW, WIDE), ("light", "dark"))]
# A theme changes nothing but colours.
THEMES = {"light": {}, "dark": {"runOnly": ["color-contrast", "link-in-text-block"]}}


@cache
def _axe() -> str:
    return Axe().axe_script


def look(page: Page, *, with_shell: bool = False) -> list[str]:
    """What axe finds, and what is wider than its window. The page is wide and light afterwards."""
    page.evaluate(_axe())
    found = []
    for (width, height), theme in WAYS:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        # Of colours on their way from one theme to the other.
        page.evaluate("document.getAnimations().forEach((animation) => animation.cancel())")
        found += [
            f"{width} px, {theme}: {violation['id']}: {node['target'][0]}: {node['html'][:160]}"
            for violation in page.evaluate(
                "([exclude, options]) => axe.run({ include: document, exclude }, options)",
                [[] if with_shell else SHELL, {"resultTypes": ["violations"], **THEMES[theme]}],
            )["violations"]
            for node in violation["nodes"]
        ]
        found += [f"{width} px: too wide: {html}" for html in too_wide(page)]
    page.emulate_media(color_scheme="light")
    return found


def too_wide(page: Page) -> list[str]:
    """The page itself where it can be moved sideways, and what stands out of the window."""
    return page.evaluate(
        """() => [
          ...[document.documentElement].filter((el) => el.scrollWidth > innerWidth),
          // A field that stands out of its card.
          ...[...document.querySelectorAll('main :is(textarea, select, input:not([type=submit]))')]
            .filter((el) => el.getBoundingClientRect().width > 1)
            .filter((el) => el.getBoundingClientRect().right
              > el.parentElement.getBoundingClientRect().right + 1),
          ...[...document.querySelectorAll('main .nice-padding *, .finetune-home *')]
            .filter((el) => el.getBoundingClientRect().width > 0)
            .filter((el) => !el.closest('.w-sr-only, [class*=sr-only]'))
            // The icon beside a form's title, which Wagtail hangs out of every page.
            .filter((el) => !el.closest('#header-title .icon'))
            // A wide table, which is moved within its own frame.
            .filter((el) => !el.parentElement.closest('.finetune-scroll'))
            .filter((el) => {
              const box = el.getBoundingClientRect();
              return box.right > innerWidth + 1 || box.left < -1;
            }),
        ].map((el) => el.outerHTML.slice(0, 160))"""
    )
