"""What a person does in the admin, and what they see."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

# Chromium says of each answer that is no success that it "failed to load"; ours say why.
EXPECTED = tuple(f"status of {status}" for status in (400, 404, 429, 502, 503))


@dataclass
class Person:
    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in EXPECTED):
            self.complaints.append(message.text)

    def go(self, path: str) -> None:
        """Open a page of the admin, and wait until it has settled."""
        self.page.goto(f"{self.address}/admin/{path}")
        state = self.page.locator(".finetune-facts [role=status]")
        if state.count():
            expect(state).not_to_have_text("Looking…")
            expect(state).not_to_be_empty()

    def press(self, name: str, *, within: str = "main") -> None:
        self.page.locator(within).get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str, *, within: str = "main") -> None:
        self.page.locator(within).get_by_role("link", name=name, exact=True).click()

    def card(self, label: str) -> Locator:
        """The card of a backend that could be switched to."""
        return self.page.locator("li.finetune-card").filter(has_text=label)

    def use(self, label: str) -> None:
        self.card(label).get_by_role("button", name="Use on site").click()

    def sees_active(self, label: str) -> None:
        expect(self.page.locator("#finetune-active")).to_have_text(label)

    def sees_message(self, text: str) -> None:
        expect(self.page.locator(".messages li").last).to_contain_text(text)

    def sees(self, text: str) -> None:
        expect(self.page.locator("main")).to_contain_text(text)


def tab_to(page, name, described_by=""):
    """Press Tab until the focus is on a button, and see that one can see it there."""
    for _press in range(80):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            """() => {
              const element = document.activeElement;
              const by = element.getAttribute('aria-describedby');
              const style = getComputedStyle(element);
              return {
                name: element.textContent.trim().replace(/\\s+/g, ' '),
                description: by ? document.getElementById(by)?.textContent.trim() : '',
                outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
              };
            }"""
        )
        if focus["name"] == name and described_by in (focus["description"] or ""):
            assert focus["outline"], "nobody sees where the focus is"
            return
    raise AssertionError(f"Tab never reaches “{name}”")
