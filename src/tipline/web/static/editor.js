// The editor of a node: the form makes the YAML and the YAML the form, by way of the server, which also finds problems.
const form = document.getElementById("editor");
const yaml = document.getElementById("yaml");
const gutter = form.querySelector(".gutter");
const paint = form.querySelector(".paint");
const found = document.getElementById("found");
const sync = document.getElementById("sync");
let marks = new Map();
let saved = true;

// ---- the text: numbers, colours, marks -------------------------------------------------------------------------------
const TOKENS = /(\$\{[^}]*\})|(^\s*(?:- )?|[{,]\s*)("[^"]*"|'[^']*'|[A-Za-z0-9_][\w.\/-]*)(?=\s*:(?:\s|$))|("(?:[^"\\]|\\.)*"|'[^']*')|([{}[\],]|:(?=\s|$)|^\s*- )/g;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function commentAt(line) {
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const sign = line[at];
    if (quote) { if (sign === quote) quote = ""; }
    else if (sign === '"' || sign === "'") quote = sign;
    else if (sign === "#" && (at === 0 || /\s/.test(line[at - 1]))) return at;
  }
  return line.length;
}

function painted(line, tone) {
  const made = element("span", `line ${tone}`);
  const end = commentAt(line);
  const code = line.slice(0, end);
  let from = 0;
  for (const match of code.matchAll(TOKENS)) {
    const lead = match[2] ?? "";
    made.append(code.slice(from, match.index) + lead);
    const kind = match[1] ? "r" : match[3] ? "k" : match[4] ? "s" : "p";
    made.append(element("span", kind, match[0].slice(lead.length)));
    from = match.index + match[0].length;
  }
  made.append(code.slice(from));
  if (end < line.length) made.append(element("span", "c", line.slice(end)));
  made.append("\n");
  return made;
}

function draw() {
  const lines = yaml.value.split("\n");
  yaml.rows = Math.max(yaml.closest(".whole") ? 30 : 14, lines.length + 1);
  paint.replaceChildren(...lines.map((line, index) => painted(line, marks.get(index + 1) ?? "")));
  gutter.replaceChildren(...lines.map((_, index) => element("div", marks.get(index + 1) ?? "", String(index + 1))));
}

function goTo(number) {
  const lines = yaml.value.split("\n");
  const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
  yaml.focus();
  yaml.setSelectionRange(start, start + (lines[number - 1] ?? "").length);
}

yaml.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
  const before = yaml.value.slice(0, yaml.selectionStart);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const indent = /^\s*/.exec(line)[0] + (/:\s*$/.test(line) ? "  " : "");
  event.preventDefault();
  document.execCommand("insertText", false, `\n${indent}`);
});
found.addEventListener("click", (event) => {
  const line = event.target.closest("[data-line]")?.dataset.line;
  if (line) goTo(Number(line));
});

// ---- problems --------------------------------------------------------------------------------------------------------
function showProblems(problems) {
  marks = new Map();
  for (const each of problems) {
    const tone = each.severity === "error" ? "bad" : "warn";
    if (each.line && marks.get(each.line) !== "bad") marks.set(each.line, tone);
  }
  found.replaceChildren(...problems.map((each) => {
    const made = element("p", each.severity);
    if (each.line) {
      const button = element("button", "plain", `Line ${each.line}`);
      button.type = "button";
      button.dataset.line = each.line;
      made.append(button, " ");
    }
    if (each.path) made.append(element("b", "", each.path), ": ");
    made.append(each.what, " ");
    if (each.fix) made.append(element("span", "muted", each.fix));
    return made;
  }));
  if (!problems.length) found.append(element("p", "muted", "Nothing is wrong with it."));
}

function showField(path, field) {
  const setting = form.querySelector(`.setting[data-path="${CSS.escape(path)}"]`);
  if (!setting) return;
  setting.classList.toggle("wrong", field.problems.length > 0);
  const list = setting.querySelector(".problems");
  list.replaceChildren(...field.problems.map((text) => element("li", "", text)));
  if (field.problems.length) setting.closest("details")?.setAttribute("open", "");
  const boxes = setting.querySelectorAll('input[type="checkbox"]');
  for (const box of boxes) {
    box.checked = field.chosen.includes(box.value);
    if (box.checked) box.disabled = false;
  }
  const control = setting.querySelector(`[name="set.${CSS.escape(path)}"]:not([type="hidden"], [type="checkbox"])`);
  if (!control) return;
  control.toggleAttribute("aria-invalid", field.problems.length > 0);
  if (control === document.activeElement || control.value === field.text) return;
  if (control.tagName === "SELECT" && ![...control.options].some((option) => option.value === field.text)) control.add(new Option(field.text, field.text));
  control.value = field.text;
}

// ---- both ways -------------------------------------------------------------------------------------------------------
let due = 0;
let asked = 0;
async function check() {
  const number = ++asked;
  const by = form.elements.by.value;
  sync.textContent = "Checking…";
  let answer;
  try {
    answer = await fetch(form.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { accept: "application/json" } });
  } catch { sync.textContent = "The server does not answer"; return; }
  if (number !== asked) return;
  if (!answer.ok) {
    sync.textContent = "";
    const problem = await answer.json().catch(() => ({ what: "The server refused" }));
    showProblems([{ severity: "error", what: problem.what, fix: problem.fix }]);
    draw();
    return;
  }
  const told = await answer.json();
  sync.textContent = "";
  showProblems(told.problems);
  if (by === "form" && document.activeElement !== yaml) yaml.value = told.text;
  if (told.form !== undefined) {
    form.elements.kind.value = told.kind;
    if (told.kind) document.getElementById("fields").innerHTML = told.form;
  }
  for (const [path, field] of Object.entries(told.fields)) showField(path, field);
  draw();
}

function edited(by) {
  saved = false;
  form.elements.by.value = by;
  if (!form.dataset.check) return;
  asked += 1;
  clearTimeout(due);
  due = setTimeout(check, 350);
}
form.addEventListener("input", (event) => {
  const target = event.target;
  if (target === yaml) { draw(); edited("yaml"); return; }
  if (target.name?.startsWith("set.") || target.id === "name") edited(target.id === "name" ? form.elements.by.value : "form");
});
form.addEventListener("submit", () => { saved = true; });
addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });

// ---- finding a setting, keeping a secret -----------------------------------------------------------------------------
form.querySelector("[data-find-setting]")?.addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const setting of form.querySelectorAll("#fields .setting")) {
    const text = setting.textContent.toLowerCase();
    setting.hidden = !words.every((word) => text.includes(word));
  }
  for (const group of form.querySelectorAll("#fields .settings")) {
    group.hidden = !group.querySelector(".setting:not([hidden])");
    if (words.length && group.tagName === "DETAILS") group.open = !group.hidden;
  }
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("[data-find-setting], [data-secret]")) event.preventDefault();
});
form.addEventListener("click", async (event) => {
  const path = event.target.closest("[data-keep]")?.dataset.keep;
  if (!path) return;
  const setting = event.target.closest(".setting");
  const entered = setting.querySelector("[data-secret]");
  if (!entered.value) { entered.focus(); return; }
  const name = `${form.elements.name.value || "new"}.${path}`.replace(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  const team = /^\s*team:\s*["']?([\w.-]+)/m.exec(yaml.value)?.[1] ?? "";
  const body = new URLSearchParams({ csrf: form.elements.csrf.value, secret_name: name, secret: entered.value, team });
  const answer = await fetch(form.dataset.secrets, { method: "POST", body, headers: { accept: "application/json" } });
  const told = await answer.json();
  const list = setting.querySelector(".problems");
  list.replaceChildren();
  if (!answer.ok) { list.append(element("li", "", `${told.what}. ${told.fix}`)); return; }
  entered.value = "";
  setting.querySelector("details.enter").open = false;
  const control = form.elements[`set.${path}`];
  control.value = told.reference;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  control.focus();
});

for (const line of found.querySelectorAll("[data-line]")) marks.set(Number(line.dataset.line), line.closest(".error") ? "bad" : "warn");
form.querySelector(".sheet").classList.add("painted");
draw();
