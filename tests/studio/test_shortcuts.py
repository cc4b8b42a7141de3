"""The keyboard's shortcuts on keyboards of other countries, and while a key is held."""

from typing import Any

import pytest

from tests.studio.hearing import clock, until

from .fakes import RATE

PRESS = """(init) => document.body.dispatchEvent(
    new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init }))"""


def press(page: Any, key: str, code: str, **more: bool) -> bool:
    """Returns whether the page took it."""
    return not page.evaluate(PRESS, {"key": key, "code": code, **more})


def bent(card: Any) -> tuple[str, str]:
    steppers = [card.locator(f'[data-action="{name}-reset"]') for name in ("tempo", "key")]
    return steppers[0].inner_text(), steppers[1].inner_text()


@pytest.mark.parametrize(("keyboard", "slower", "faster", "lower", "higher"), [
    ("QWERTY", ",Comma", ".Period", "<Comma+", ">Period+"),
    ("QWERTZ", ",Comma", ".Period", ";Comma+", ":Period+"),
    ("AZERTY", ",KeyM", ".Comma+", "<IntlBackslash", ">IntlBackslash+"),
    ("Dvorak", ",KeyW", ".KeyE", "<KeyW+", ">KeyE+"),
    ("Russian", "бComma", "юPeriod", "БComma+", "ЮPeriod+"),
    ("Arabic", "وComma", "زPeriod", None, None),
])  # fmt: skip
def test_tempo_and_key_on_any_keyboard(
    page: Any, card: Any, keyboard: str, slower: str, faster: str, lower: str, higher: str
) -> None:
    def strike(stroke: str | None) -> None:
        if stroke is not None:
            shift = stroke.endswith("+")
            assert press(page, stroke[0], stroke[1:].rstrip("+"), shiftKey=shift)

    strike(slower)
    strike(lower)
    assert bent(card) == ("0.95×", "−1" if lower else "±0")
    for _ in range(2):
        strike(faster)
        strike(higher)
    assert bent(card) == ("1.05×", "+1" if higher else "±0")


@pytest.mark.parametrize(("key", "code"), [
    (";", "Comma"), (":", "Period"), ("w", "Comma"), ("v", "Period"), ("ö", "KeyG"), ("é", "KeyM"),
])  # fmt: skip
def test_what_means_nothing_on_this_keyboard(page: Any, card: Any, key: str, code: str) -> None:
    """AZERTY, Dvorak, and letters that are Latin, but others."""
    assert not press(page, key, code)
    assert bent(card) == ("1.00×", "±0")
    assert card.locator(".markers li").count() == 0


@pytest.mark.parametrize(("key", "code"), [
    ("ь", "KeyM"), ("μ", "KeyM"), ("ة", "KeyM"), ("Ь", "KeyM"), ("m", "Semicolon"),
])  # fmt: skip
def test_letters_of_other_scripts_mean_their_keys(
    page: Any, card: Any, key: str, code: str
) -> None:
    """Russian, Greek, Arabic; and AZERTY's own m."""
    assert press(page, key, code)
    assert card.locator(".markers li").count() == 1


def test_a_key_that_is_held_acts_once(page: Any, card: Any) -> None:
    for key, code in (("m", "KeyM"), ("o", "KeyO"), ("g", "KeyG"), ("1", "Digit1"), (" ", "Space")):
        press(page, key, code)
        for _ in range(3):
            assert press(page, key, code, repeat=True), "taken all the same: space would scroll"
    assert card.locator(".markers li").count() == 1
    for name in ("original", "spectrogram"):
        pressed = card.locator(f'[data-action="{name}"]').get_attribute("aria-pressed")
        assert pressed == ("true" if name == "spectrogram" else "false"), name
    assert card.locator('[data-action="solo"][aria-pressed="true"]').count() == 1
    card.get_by_label("Pause", exact=True).wait_for()
    assert not press(page, "Tab", "Tab", repeat=True), "the browser's own"


def test_what_may_be_held(page: Any, card: Any) -> None:
    for _ in range(3):
        press(page, "ArrowRight", "ArrowRight", repeat=True)
        press(page, ".", "Period", repeat=True)
    until(page, lambda: clock(page) == 15 * RATE)
    assert bent(card)[0] == "1.15×"
