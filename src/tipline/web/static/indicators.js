// Adding indicators: a file dropped anywhere on the form is chosen, and all findings are ticked or none.
const form = document.getElementById("drop");
const input = form?.querySelector("input[type=file]");
const zone = form?.querySelector(".drop");
form?.addEventListener("dragover", (event) => { event.preventDefault(); zone.dataset.over = ""; });
form?.addEventListener("dragleave", () => delete zone.dataset.over);
form?.addEventListener("drop", (event) => {
  delete zone.dataset.over;
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  input.files = event.dataTransfer.files;
});

const all = document.querySelector("[data-do=all]");
all?.removeAttribute("hidden");
all?.addEventListener("click", () => {
  const boxes = [...document.querySelectorAll("input[name=pick]")];
  const on = !boxes.every((each) => each.checked);
  for (const each of boxes) each.checked = on;
});
