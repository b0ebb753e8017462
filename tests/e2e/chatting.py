"""What a visitor does in the chat widget, and what they see."""

from __future__ import annotations

from playwright.sync_api import Page, expect

SLOW = {"answer": " ".join(["Ahoy."] * 200), "tokens_per_second": 8}
SAID = "It opens at nine. [1]"
QUESTION = "When does the lighthouse open?"


def chat(page: Page):
    return page.locator("finetune-chat")


def field(page: Page):
    return chat(page).locator("#question")


def button(page: Page, name: str):
    return chat(page).get_by_role("button", name=name, exact=True)


def ask(page: Page, question: str = QUESTION) -> None:
    field(page).fill(question)
    page.keyboard.press("Enter")


def is_answered(page: Page, count: int = 1) -> None:
    expect(chat(page).locator(".text")).to_have_count(count)
    expect(chat(page).locator(".text").last).to_contain_text("[1]")
    expect(button(page, "Start again")).to_be_visible()
