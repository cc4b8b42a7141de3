"""axe in a page: what it finds that people with other eyes, ears or hands would stumble over."""

from importlib import resources
from typing import Any

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
RUN = """async () => {
  const picture = () => new Promise(requestAnimationFrame);
  await picture().then(picture); // the theme has followed by then
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll("\\n", " ")}`));
}"""


def script() -> str:
    """The library. Raises ModuleNotFoundError where it is not installed."""
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def findings(page: Any) -> list[str]:
    """Of the page as it stands, wide and narrow, light and dark; each with where it was found."""
    page.evaluate(script())
    found = []
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found += [f"{size['width']} {scheme} {one}" for one in page.evaluate(RUN)]
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    return found
