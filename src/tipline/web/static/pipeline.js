// Draws the pipeline from the data in the page: laid out by dagre, zoomed and moved by hand, found by words.
const place = document.getElementById("graph");
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 190;
const HEIGHT = 46;
const READABLE = 0.6;
const TONES = {
  ok: "ok", unchanged: "ok", polling: "busy", sending: "busy", held: "warn", stale: "warn", "needs credentials": "warn", failing: "bad", failed: "bad", drift: "bad",
};

const SIGNS = { warn: "▲ ", bad: "✕ ", busy: "… " };
const OPS = { added: "+ ", changed: "~ ", removed: "− " };

// What a node says below its name: what is not well in words and with a sign, else its kind and how much it holds.
function below(node, exact) {
  const sign = SIGNS[TONES[node.state]];
  const held = node.indicators == null ? "" : ` · ${exact.format(node.indicators)}`;
  return `${OPS[node.op] ?? ""}${sign ? `${sign}${node.state}` : node.kind}${held}`;
}

function make(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function laidOut(nodes, edges) {
  const graph = new window.dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 16, ranksep: 90, marginx: 20, marginy: 20 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) graph.setNode(node.name, { width: WIDTH, height: HEIGHT });
  for (const edge of edges) graph.setEdge(edge.source, edge.target, edge);
  window.dagre.layout(graph);
  return graph;
}

function width(count, most) {
  return 1.5 + 9 * Math.sqrt(count / most);
}

function curve(points) {
  const [first, last] = [points[0], points[points.length - 1]];
  const middle = (first.x + last.x) / 2;
  return `M${first.x},${first.y} C${middle},${first.y} ${middle},${last.y} ${last.x},${last.y}`;
}

// The table beside the graph carries what it is made of, and is fetched again when something changes.
function data() {
  const { nodes, edges } = document.getElementById("live").dataset;
  return { nodes: JSON.parse(nodes), edges: JSON.parse(edges) };
}

function draw() {
  const { nodes, edges } = data();
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const most = Math.max(1, ...edges.map((edge) => edge.flow));
  const graph = laidOut(nodes, edges);
  const group = make("g", {});
  for (const { v, w } of graph.edges()) {
    const edge = graph.edge(v, w);
    const from = graph.node(v);
    const to = graph.node(w);
    const tone = TONES[byName.get(v).state];
    const line = make("path", {
      class: `edge${edge.allow ? " allow" : ""}${edge.draft ? " draft" : ""}${tone === "bad" || tone === "warn" ? ` ${tone}` : ""}`,
      d: curve([{ x: from.x + WIDTH / 2, y: from.y }, { x: to.x - WIDTH / 2, y: to.y }]),
      "stroke-width": edge.allow ? 1.5 : width(edge.flow, most),
    });
    line.dataset.source = v;
    line.dataset.target = w;
    group.append(line);
  }
  const exact = new Intl.NumberFormat();
  for (const node of nodes) {
    const { x, y } = graph.node(node.name);
    const link = make("a", { href: `/ui/nodes/${encodeURIComponent(node.name)}${node.state === "candidate" ? "/edit" : ""}`, class: `node ${TONES[node.state] ?? ""}${node.op ? ` draft ${node.op}` : ""}` });
    link.setAttribute("transform", `translate(${x - WIDTH / 2},${y - HEIGHT / 2})`);
    link.dataset.name = node.name;
    link.append(
      make("rect", { class: "box", width: WIDTH, height: HEIGHT, rx: 4 }),
      make("rect", { class: "mark", width: 4, height: HEIGHT, rx: 2 }),
      make("text", { x: 14, y: 19 }, shortened(node.name, 24)),
      make("text", { x: 14, y: 36, class: "sub" }, shortened(below(node, exact), 31)),
      make("title", {}, `${node.name} (${node.state || "other team"})${node.message ? `: ${node.message}` : ""}`),
    );
    const near = (on) => {
      for (const line of group.querySelectorAll(".edge"))
        line.classList.toggle("near", on && (line.dataset.source === node.name || line.dataset.target === node.name));
    };
    link.addEventListener("pointerenter", () => near(true));
    link.addEventListener("pointerleave", () => near(false));
    link.addEventListener("focus", () => near(true));
    link.addEventListener("blur", () => near(false));
    group.append(link);
  }
  return { group, size: graph.graph() };
}

function found(group, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  for (const node of group.querySelectorAll(".node"))
    node.classList.toggle("dim", wanted.length > 0 && !wanted.every((word) => node.dataset.name.toLowerCase().includes(word)));
}

function start() {
  const canvas = place.querySelector("svg.canvas");
  let { group, size } = draw();
  const words = () => document.querySelector("[data-search]")?.value ?? place.dataset.find;
  const show = () => {
    const focused = document.activeElement?.closest?.(".node")?.dataset.name;
    canvas.replaceChildren(group);
    found(group, words());
    if (focused) group.querySelector(`.node[data-name="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };
  show();
  place.style.setProperty("--drawn", `${Math.ceil(size.height * Math.min(1.2, canvas.clientWidth / size.width))}px`);
  const view = { x: 0, y: 0, scale: 1 };
  const apply = () => group.setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.scale})`);
  const zoom = (by, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
    const scale = Math.min(3, Math.max(0.1, view.scale * by));
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    apply();
  };
  const fit = () => {
    view.scale = Math.min(1.2, canvas.clientWidth / size.width, canvas.clientHeight / size.height);
    view.x = (canvas.clientWidth - size.width * view.scale) / 2;
    view.y = (canvas.clientHeight - size.height * view.scale) / 2;
    apply();
  };
  // A pipeline too large to be read as a whole begins at its top, as wide as the place; search and keys move in it.
  const begin = () => {
    fit();
    if (view.scale >= READABLE) return;
    view.scale = Math.max(READABLE, Math.min(1, canvas.clientWidth / size.width));
    view.x = Math.max(0, (canvas.clientWidth - size.width * view.scale) / 2);
    view.y = 0;
    apply();
  };
  const centre = (node) => {
    const at = /translate\(([-\d.]+),([-\d.]+)\)/.exec(node.getAttribute("transform"));
    view.x = canvas.clientWidth / 2 - (Number(at[1]) + WIDTH / 2) * view.scale;
    view.y = canvas.clientHeight / 2 - (Number(at[2]) + HEIGHT / 2) * view.scale;
    apply();
  };
  const lead = () => {
    found(group, words());
    const first = words() && group.querySelector(".node:not(.dim)");
    if (first && view.scale * size.height > canvas.clientHeight) centre(first);
  };
  const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  place.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
    else if (moves[event.key]) { view.x += moves[event.key][0]; view.y += moves[event.key][1]; apply(); }
    else return;
    event.preventDefault();
  });
  // Whoever walks through the nodes by keyboard sees the one that has the focus.
  canvas.addEventListener("focusin", (event) => {
    const node = event.target.closest(".node");
    if (!node) return;
    const seen = node.getBoundingClientRect();
    const around = canvas.getBoundingClientRect();
    if (seen.top < around.top || seen.bottom > around.bottom || seen.left < around.left || seen.right > around.right) centre(node);
  });
  let from = null;
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.target.closest("a")) return;
    from = { x: event.clientX - view.x, y: event.clientY - view.y };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    view.x = event.clientX - from.x;
    view.y = event.clientY - from.y;
    apply();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { from = null; });
  place.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-zoom]")?.dataset.zoom;
    if (asked === "in") zoom(1.25);
    else if (asked === "out") zoom(0.8);
    else if (asked === "fit") fit();
  });
  document.querySelector("[data-search]")?.addEventListener("input", lead);
  document.addEventListener("htmx:load", (event) => {
    if (event.target.id !== "live") return;
    ({ group, size } = draw());
    show();
    apply();
  });
  begin();
  lead();
  addEventListener("resize", begin);
}

if (place && window.dagre) start();
