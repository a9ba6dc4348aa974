// Gives a name to what has none of its own: groups of choices, and what puts a slider back.
() => {
  for (const block of document.querySelectorAll(".block")) {
    const title = block.querySelector("[data-testid=block-info]")?.firstChild?.textContent.trim();
    if (!title) continue;
    if (block.tagName === "FIELDSET") {
      block.setAttribute("role", "radiogroup");
      block.setAttribute("aria-label", title);
    }
    block.querySelector("button.reset-button")?.setAttribute("aria-label", `Reset ${title}`);
  }
}
