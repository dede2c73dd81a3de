// Draws the pipeline from the data in the page: laid out by dagre, zoomed and moved by hand, found by words.
const place = document.getElementById("graph");
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 190;
const HEIGHT = 46;
const TONES = {
  ok: "ok", unchanged: "ok", held: "warn", stale: "warn", "needs credentials": "warn", failing: "bad", failed: "bad", drift: "bad",
};

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
      class: `edge${edge.allow ? " allow" : ""}${tone === "bad" || tone === "warn" ? ` ${tone}` : ""}`,
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
    const link = make("a", { href: `/ui/nodes/${encodeURIComponent(node.name)}`, class: `node ${TONES[node.state] ?? ""}` });
    link.setAttribute("transform", `translate(${x - WIDTH / 2},${y - HEIGHT / 2})`);
    link.dataset.name = node.name;
    link.append(
      make("rect", { class: "box", width: WIDTH, height: HEIGHT, rx: 4 }),
      make("rect", { class: "mark", width: 4, height: HEIGHT, rx: 2 }),
      make("text", { x: 14, y: 19 }, shortened(node.name, 24)),
      make("text", { x: 14, y: 36, class: "sub" }, shortened(`${node.kind}${node.indicators == null ? "" : ` · ${exact.format(node.indicators)}`}`, 30)),
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
  document.querySelector("[data-search]")?.addEventListener("input", () => found(group, words()));
  document.addEventListener("htmx:load", (event) => {
    if (event.target.id !== "live") return;
    ({ group, size } = draw());
    show();
    apply();
  });
  fit();
  addEventListener("resize", fit);
}

if (place && window.dagre) start();
