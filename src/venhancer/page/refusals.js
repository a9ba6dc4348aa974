// Tells each control that the refusal in this element names, right there.
const tell = () => {
  document.querySelectorAll(".ve-told").forEach((note) => {
    note.previousElementSibling?.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
    note.remove();
  });
  const line = element.querySelector(".ve-refusal");
  for (const name of (line?.dataset.controls ?? "").split(" ").filter(Boolean)) {
    const control = document.getElementById(name) ?? document.getElementById(`more-${name}`);
    const input = control?.querySelector("input, textarea");
    if (!input) continue;
    const note = document.createElement("p");
    Object.assign(note, { className: "ve-refusal ve-told", id: `told-${name}`, textContent: line.textContent });
    control.after(note);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-errormessage", note.id);
  }
};
watch("value", () => requestAnimationFrame(tell));
