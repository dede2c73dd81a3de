// What every page does: times in the reader's zone, theme, keyboard, progress, and live parts.
import { drawCharts } from "./charts.js";
import { stamp } from "./times.js";

const prefix = "/ui";
const root = document.documentElement;

// ---- times: as the reader's clock has them, with UTC on hover --------------------------------------------------------
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "always", style: "short" });
const steps = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [2592000, "day", 86400], [31536000, "month", 2592000], [Infinity, "year", 31536000]];

function relative(moment) {
  const seconds = (moment.getTime() - Date.now()) / 1000;
  const [, unit, size] = steps.find(([limit]) => Math.abs(seconds) < limit);
  return ago.format(Math.trunc(seconds / size), unit);
}

function showTimes(within) {
  for (const each of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    each.textContent = each.dataset.form === "full" ? stamp(moment) : relative(moment);
    each.title = `${stamp(moment)} here · ${each.dateTime.replace("T", " ").replace("Z", "")} UTC`;
  }
}

// ---- theme -----------------------------------------------------------------------------------------------------------
function dark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme() {
  root.dataset.theme = dark() ? "light" : "dark";
  document.cookie = `tipline-theme=${root.dataset.theme}; path=${prefix}; max-age=31536000; samesite=strict`;
  drawCharts(document);
}

// ---- progress: what takes longer than a moment says so ---------------------------------------------------------------
const progress = document.querySelector(".progress");
let waiting = 0;
function busy(on) {
  clearTimeout(waiting);
  if (on) waiting = setTimeout(() => progress?.setAttribute("data-on", ""), 250);
  else progress?.removeAttribute("data-on");
}
// A form is sent only while its session lasts: otherwise what somebody wrote stays on the page, and is sent again later.
document.addEventListener("submit", (event) => {
  const form = event.target, token = form.elements.namedItem("csrf"), submitter = event.submitter;
  if (form.getAttribute("method") !== "post" || !token || form.dataset.checked) { delete form.dataset.checked; return; }
  event.preventDefault();
  event.stopImmediatePropagation();
  fetch(`${prefix}/session`, { headers: { accept: "application/json" } }).then(async (answer) => {
    if (answer.status === 401) { signedOut(); return; }
    const who = answer.ok ? await answer.json() : {};
    const mine = document.querySelector(".who")?.firstChild.textContent.trim();
    if (who.name !== undefined && who.name !== mine) { state("off", `Signed in as ${who.name}: reload the page`); return; }
    if (who.csrf) token.value = who.csrf;
    form.dataset.checked = "1";
    form.requestSubmit(submitter);
  }, () => state("off", "The server does not answer"));
}, true);
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  if (event.target.method === "post") {
    event.target.dataset.sent = "1";
    button?.setAttribute("aria-disabled", "true");
  }
  busy(true);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (link && link.origin === location.origin && !link.target && !link.download && !event.ctrlKey && !event.metaKey && !event.shiftKey && link.pathname !== location.pathname) busy(true);
});
addEventListener("pageshow", () => {
  busy(false);
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
document.addEventListener("htmx:beforeRequest", () => busy(true));
document.addEventListener("htmx:afterRequest", () => busy(false));

// ---- keyboard --------------------------------------------------------------------------------------------------------
const help = document.getElementById("help");
let going = -Infinity;
function typing(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
function seek(event, field = document.querySelector("[data-seek]")) {
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}
// What is pasted outside a field is asked for: the way from a ticket to the reason.
document.addEventListener("paste", (event) => {
  const field = document.querySelector("[data-seek]"), text = event.clipboardData?.getData("text").trim();
  if (!field || !text || typing(event.target) || document.querySelector("dialog[open]")) return;
  seek(event);
  field.value = text.slice(0, field.maxLength);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
  if (event.timeStamp - going < 1500) {
    const link = document.querySelector(`.rail a[data-key="${CSS.escape(event.key)}"]`);
    going = -Infinity;
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  if (event.key === "g") going = event.timeStamp;
  else if (event.key === "w") seek(event);
  else if (event.key === "?") { event.preventDefault(); help?.showModal(); }
  else if (event.key === "/") {
    seek(event, document.querySelector("[data-search]") ?? undefined);
  }
});
document.addEventListener("click", (event) => {
  const asked = event.target.closest?.("[data-do]")?.dataset.do;
  if (asked === "theme") switchTheme();
  else if (asked === "help") help?.showModal();
  else if (asked === "close") event.target.closest("dialog")?.close();
});
// A filter that is chosen from a list takes effect at once.
document.addEventListener("change", (event) => {
  if (event.target.matches?.("form[data-auto] select, form[data-auto] input[type=checkbox]")) event.target.form.requestSubmit();
});
// Filters left empty do not lengthen the address.
document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

// ---- live parts ------------------------------------------------------------------------------------------------------
const signal = document.querySelector(".signal");
let due = 0;
let last = 0;
function state(word, text) {
  if (!signal) return;
  signal.dataset.state = word;
  signal.textContent = text;
}
function occupied(live) {
  const chosen = getSelection();
  const focused = document.activeElement;
  return (live.contains(focused) && typing(focused)) || (chosen && !chosen.isCollapsed && live.contains(chosen.anchorNode)) || document.hidden;
}
function refresh() {
  const live = document.getElementById("live");
  if (!live) return;
  if (occupied(live)) { due = setTimeout(refresh, 2000); return; }
  due = 0;
  last = Date.now();
  const open = [...live.querySelectorAll("details[open][id]")].map((each) => each.id);
  const focused = document.activeElement?.id;
  window.htmx.ajax("GET", live.dataset.from ?? location.pathname + location.search, { target: "#live", select: "#live", swap: "outerHTML" }).then(() => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  });
}
function changed(topics) {
  const live = document.getElementById("live");
  const wanted = live?.dataset.live?.split(" ") ?? [];
  if (due || !topics.some((topic) => wanted.includes(topic))) return;
  due = setTimeout(refresh, Math.max(150, 2000 - (Date.now() - last)));
}
function written(form) {
  return [...form.elements].some((each) => each.type !== "hidden" && each.defaultValue !== undefined && each.value !== each.defaultValue);
}
function signedOut() {
  state("off", "Not connected");
  const told = document.getElementById("signed-out");
  if (!told) return;
  told.hidden = false;
  // What was written here would go with the page, so the sign-in is another one.
  const keep = [...document.forms].some((form) => form.method === "post" && written(form));
  told.querySelector(".kept").hidden = !keep;
  if (keep) told.querySelector("a").target = "_blank";
  told.scrollIntoView({ block: "nearest" });
}
function listen() {
  const events = new EventSource(`${prefix}/events`);
  events.onopen = () => state("on", "Live");
  events.addEventListener("change", (event) => {
    changed(JSON.parse(event.data).topics);
  });
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED) { state("off", "Reconnecting"); return; }
    state("off", "Not connected");
    // Closed for good: the session may have ended, or the server is gone.
    fetch(`${prefix}/session`, { headers: { accept: "application/json" } }).then(
      (answer) => { if (answer.status === 401) signedOut(); else setTimeout(listen, 3000); },
      () => setTimeout(listen, 3000),
    );
  };
}

document.addEventListener("htmx:load", (event) => { showTimes(event.target.parentNode ?? document); drawCharts(event.target); });
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401) signedOut();
  else state("off", "The server refused");
});
document.addEventListener("htmx:sendError", () => state("off", "The server does not answer"));
showTimes(document);
setInterval(() => showTimes(document), 20000);
drawCharts(document);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(document));
if (signal) listen();
