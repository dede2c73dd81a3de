// Charts from data in the page: <div class="plot" data-chart='{"at": [...], "series": [{"label", "color", "values"}]}'>.
import { clock, day } from "./times.js";

const drawn = new Map();

// A token's text may be light-dark(...): a canvas needs the colour that an element shows in the theme that counts.
const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

function color(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

function tip(plot) {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  plot.append(box);
  return box;
}

// Under a day apart: the time, and the day where one begins; else the day.
function label(moment, step, first) {
  if (step >= 86400) return day(moment).slice(5);
  return first || clock(moment) === "00:00" ? `${clock(moment)}\n${day(moment).slice(5)}` : clock(moment);
}

function options(plot, data) {
  const axis = {
    stroke: color("ink-3"), font: "11px system-ui, sans-serif", grid: { stroke: color("line-soft"), width: 1 },
    ticks: { show: false },
  };
  const bars = data.form === "bars";
  const box = tip(plot);
  const compact = new Intl.NumberFormat(undefined, { notation: "compact" });
  const exact = new Intl.NumberFormat();
  return {
    width: Math.max(160, plot.clientWidth), height: Number(plot.dataset.height ?? 150), padding: [8, 18, 0, 0],
    legend: { show: false }, cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (_, low, high) => [Math.min(0, low), data.form === "bars" || low <= 0 ? Math.max(high * 1.1, 1) : high * 1.08] } },
    axes: [
      { ...axis, size: 40, values: (_, at, __, ___, step) => at.map((each, place) => label(new Date(each * 1000), step, !place)) },
      { ...axis, size: 46, values: (_, values) => values.map((value) => (Number.isInteger(value) ? compact.format(Math.abs(value)) : "")) },
    ],
    series: [
      {},
      ...data.series.map((each) => ({
        label: each.label, stroke: color(each.color), width: bars ? 0 : 2, fill: bars ? color(each.color) : undefined,
        points: { show: false }, paths: bars ? window.uPlot.paths.bars({ size: [0.72, 26] }) : window.uPlot.paths.stepped({ align: 1 }),
      })),
    ],
    hooks: {
      setCursor: [(chart) => {
        const place = chart.cursor.idx;
        box.hidden = place == null || chart.cursor.left < 0;
        if (box.hidden) return;
        const values = data.series.map((each) => `${each.label} ${exact.format(Math.abs(each.values[place] ?? 0))}`);
        box.textContent = `${day(new Date(data.at[place] * 1000))} ${clock(new Date(data.at[place] * 1000))} · ${values.join(" · ")}`;
        const left = Math.min(chart.cursor.left + 52, plot.clientWidth - box.offsetWidth - 4);
        box.style.left = `${Math.max(0, left)}px`;
        box.style.top = "4px";
      }],
    },
  };
}

export function drawCharts(within) {
  for (const [plot, chart] of drawn) if (!plot.isConnected) { chart.destroy(); drawn.delete(plot); }
  if (!window.uPlot) return;
  for (const plot of within.querySelectorAll?.("[data-chart]") ?? []) {
    drawn.get(plot)?.destroy();
    plot.replaceChildren();
    plot.style.position = "relative";
    const data = JSON.parse(plot.dataset.chart);
    drawn.set(plot, new window.uPlot(options(plot, data), [data.at, ...data.series.map((each) => each.values)], plot));
  }
}

addEventListener("resize", () => {
  for (const [plot, chart] of drawn) chart.setSize({ width: Math.max(160, plot.clientWidth), height: chart.height });
});
