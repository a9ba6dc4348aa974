"""The page for everybody: narrow and wide, light and dark, without a mouse, without eyes."""

import pytest

from browser.actions import ENHANCE, jobs_of, show_result, wait_for_frame, wait_for_job
from browser.conftest import open_page

pytestmark = pytest.mark.browser

OVERHANG = """width => [...document.querySelectorAll(
    "button, input, select, textarea, a, canvas, img, td, pre, summary")]
  .filter(one => one.checkVisibility() && one.type !== "file" && !one.closest("video, .ve-compare video"))
  .map(one => [one.getBoundingClientRect(), one.outerHTML.slice(0, 120)])
  .filter(([box]) => box.width && (box.left < -1 || box.right > width + 1))"""

CONTRAST = """least => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((one, at) => one * a + below[at] * (1 - a));
  const ground = (one) => {
    if (!one) return [255, 255, 255];
    const own = rgba(getComputedStyle(one).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(one.parentElement));
  };
  const linear = (one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
  const light = (colour) => colour.map(one => linear(one / 255))
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const one = walk.currentNode.parentElement, words = walk.currentNode.textContent.trim();
    if (!words || !one.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (!one.getBoundingClientRect().width || one.closest("script, style, option, [disabled]")) continue;
    let share = 1;
    for (let above = one; above; above = above.parentElement) share *= getComputedStyle(above).opacity;
    const below = ground(one), [r, g, b, a] = rgba(getComputedStyle(one).color);
    const [dark, bright] = [light(over([r, g, b, a * share], below)), light(below)].sort((x, y) => x - y);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < least) faint.push(`${ratio.toFixed(2)} ${words.slice(0, 40)}`);
  }
  return faint;
}"""

CONTROLS = ("button", "textbox", "slider", "combobox", "radio", "checkbox", "link", "spinbutton", "DisclosureTriangle")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_everything_fits_and_can_be_read(browser, server, finished, width, theme):
    with open_page(browser, server, width=width, height=844 if width == 390 else 900, theme=theme) as page:
        show_result(page)
        page.get_by_role("button", name="More").click()
        page.locator("#more-seed").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVERHANG, width) == []
        assert page.evaluate(CONTRAST, 4.5) == []
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, shade.strip("rgb()").split(","))) < 64) == (theme == "dark")
        figure = page.locator(".ve-compare").bounding_box()
        assert figure["height"] <= page.viewport_size["height"]  # its controls are seen together with the picture
        arrow, box = page.locator("#job .dropdown-arrow").bounding_box(), page.locator("#job input").bounding_box()
        inset = page.locator("#job input").evaluate("one => parseFloat(getComputedStyle(one).paddingRight)")
        assert box["x"] + box["width"] - inset <= arrow["x"]  # the job's name ends before the arrow


def test_every_control_and_picture_has_a_name(page, finished):
    show_result(page)
    page.get_by_role("button", name="More").click()
    page.locator("#more-seed").wait_for()
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    seen = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in tree
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]
    assert {role for role, _ in seen} == set(CONTROLS)
    assert [role for role, name in seen if not name] == []
    assert [name for name in dict.fromkeys(seen) if name[0] == "button" and seen.count(name) > 1] == []
    groups = [node["name"]["value"] for node in tree if node.get("role", {}).get("value") == "radiogroup"]
    assert groups == ["Start from", "Size", "Frames a second"]
    assert page.evaluate("[...document.images].filter(one => !one.alt).length") == 0
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.get_by_role("progressbar", name="finished share of the job").count() == 1
    assert page.get_by_role("heading", name="venhancer").count() == 1


def tab_to(page, selector: str) -> None:
    """Press Tab until something has the focus, and see that it shows."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_a_clip_is_enhanced_and_compared_by_keyboard_alone(page, server, finished):
    before = len(jobs_of(server))
    page.on("filechooser", lambda _: None)  # from the start: it takes a moment until they come here
    tab_to(page, "#clip button[aria-label*=upload]")
    with page.expect_event("filechooser"):
        page.keyboard.press("Enter")
    tab_to(page, "#chosen input")
    page.keyboard.press("ArrowDown")
    page.get_by_role("option", name="meadow.mp4").wait_for()
    page.keyboard.type("meadow")
    page.keyboard.press("Enter")
    page.locator("#plan").get_by_text("256x192, 8 fps").wait_for()
    tab_to(page, "#size input[value='as it is']")
    page.keyboard.press("Space")
    page.locator("#plan").get_by_text("64x48, 8 fps, 8 frames, 1 s").wait_for()
    tab_to(page, "#creativity input[type=range]")
    page.keyboard.press("ArrowRight")
    tab_to(page, "#more > button")
    page.keyboard.press("Enter")
    tab_to(page, "#more-seed textarea")
    page.keyboard.type("7")
    tab_to(page, "#run")
    page.locator("#plan summary").click()
    words = page.locator("#plan pre")
    words.get_by_text("--seed 7").wait_for()
    assert "--noise-augmentation 75" in words.inner_text()
    page.locator("#run").focus()
    page.keyboard.press("Enter")
    wait_for_job(page, "meadow.mp4: at work")
    wait_for_job(page, "meadow.mp4: finished")
    page.wait_for_function("document.querySelector('.ve-number')?.value === 'frame 1 of 8'")
    assert len(jobs_of(server)) == before + 1
    tab_to(page, ".ve-downloads a.ve-button")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "meadow_enhanced.mp4"
    tab_to(page, ".ve-split")
    page.keyboard.press("ArrowRight")
    assert page.locator(".ve-split").input_value() == "501"
    tab_to(page, ".ve-next")
    page.keyboard.press("Enter")
    wait_for_frame(page, 1)
    tab_to(page, ".ve-time")
    page.keyboard.press("End")
    wait_for_frame(page, 7)


def test_the_focus_is_seen_wherever_it_is(page, finished):
    show_result(page)
    page.get_by_role("button", name="More").click()
    page.evaluate("document.activeElement.blur()")
    hidden = []
    look = """(() => {
      const one = document.activeElement, styles = [one, one.parentElement].map(it => getComputedStyle(it));
      const shows = styles.some(it => (it.outlineStyle !== "none" && it.outlineWidth !== "0px"));
      return [one.outerHTML.slice(0, 90), shows, one === document.body];
    })()"""
    for _ in range(120):
        page.keyboard.press("Tab")
        what, shows, is_end = page.evaluate(look)
        if not shows and not is_end:
            hidden.append(what)
    assert hidden == []
    assert page.get_by_role("button", name=ENHANCE, exact=True).count() == 1
