"""What a person would read on the page that an AppTest holds."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

# The fixture open_app: open_app(), open_app("store", id=...) and so on.
Open = Callable[..., AppTest]

READ = ("title", "markdown", "caption", "error", "warning", "success", "metric", "code", "status", "text_input")
PRESSED = ("button", "link_button", "page_link", "menu_button", "download_button")


def text_of(at: AppTest) -> str:
    """All text of the page: headings, captions, alerts, badges, and labels of what can be pressed."""
    assert not at.exception, at.exception[0].value
    parts: list[object] = []
    for kind in READ + PRESSED:
        for element in at.get(kind):
            proto = getattr(element, "proto", None)
            parts += [getattr(element, each, "") for each in ("label", "value")]
            parts += [getattr(proto, each, "") for each in ("title", "label", "body")]
    return "\n".join(str(part) for part in parts if part)


def labels(at: AppTest, kind: str) -> list[str]:
    """The labels of all widgets of a kind."""
    return [str(getattr(element, "label", "") or element.proto.label) for element in at.get(kind)]
