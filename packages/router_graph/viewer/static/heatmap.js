// A heat map on a canvas. What the eye sees by colour, a line of text tells of the cell under the mouse or the keys.

import { h, fill } from "./dom.js";
import { isDark } from "./theme.js";

const SMALLEST = 6;
const LARGEST = 28;
const EDGE = 34;
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const LOW = { light: [240, 241, 246], dark: [34, 37, 44] };
const HIGH = { light: [38, 62, 170], dark: [150, 172, 255] };
const NEGATIVE = { light: [176, 42, 42], dark: [255, 138, 128] };

/** `profile`: {name, behaviour, notes, cells: [[…]], mask: [[layer, expert], …], mask_name}, as the API has it. */
export function heatmap(profile) {
  const layers = profile.cells.length;
  const experts = Math.max(...profile.cells.map((row) => row.length));
  const masked = new Set((profile.mask ?? []).map(([layer, expert]) => `${layer}:${expert}`));
  const values = profile.cells.flat().filter((value) => typeof value === "number");
  const most = Math.max(...values.map(Math.abs), 1e-12);
  const canvas = h("canvas", {
    tabIndex: 0,
    role: "application",
    "aria-roledescription": "heat map",
    "aria-label": `${layers} layers by ${experts} experts; arrow keys go from cell to cell`,
    "aria-describedby": "cell",
    "data-scrolls": "",
  });
  const cell = h(
    "p",
    { id: "cell", class: "cell-told", role: "status" },
    "Rows are layers, columns experts. Point at one, or use the arrow keys.",
  );
  const scroll = h("div", { class: "heatmap-scroll" }, canvas);
  const low = Math.min(...values, 0) < 0 ? -most : 0;
  const legend = h(
    "div",
    { class: "heat-legend" },
    h("span", { class: "number" }, short(low)),
    h("span", { class: `scale${low < 0 ? " two-sided" : ""}`, "aria-hidden": "true" }),
    h("span", { class: "number" }, short(most)),
    masked.size
      ? h("span", { class: "mask-key" }, `outlined: ${profile.mask_name ?? "masked"} (${masked.size})`)
      : null,
  );
  const element = h(
    "section",
    { class: "heatmap", "aria-label": profile.name },
    profile.behaviour ? h("p", { class: "hint" }, profile.behaviour) : null,
    (profile.notes ?? []).map((note) => h("p", { class: "hint" }, note)),
    legend,
    cell,
    scroll,
    topTable(profile, masked),
  );
  let at = { layer: 0, expert: 0 };
  let chosen = false;
  let size = SMALLEST;

  canvas.addEventListener("mousemove", (event) => {
    const expert = Math.floor((event.offsetX - EDGE) / size);
    const layer = Math.floor(event.offsetY / size);
    if (expert >= 0 && layer >= 0 && expert < experts && layer < layers) choose(layer, expert);
  });
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    choose(clamp(at.layer + move[0], layers), clamp(at.expert + move[1], experts));
  });
  canvas.addEventListener("focus", () => choose(at.layer, at.expert));
  window.addEventListener("scheme", paint);
  const observer = new ResizeObserver(paint);
  observer.observe(scroll);
  return {
    element,
    close() {
      observer.disconnect();
      window.removeEventListener("scheme", paint);
    },
  };

  function choose(layer, expert) {
    at = { layer, expert };
    chosen = true;
    const value = profile.cells[layer][expert];
    const mask = masked.has(`${layer}:${expert}`) ? ", masked" : "";
    fill(cell, `Layer ${layer}, expert ${expert}: ${typeof value === "number" ? short(value) : "not measured"}${mask}`);
    paint();
  }

  function paint() {
    size = Math.max(SMALLEST, Math.min(LARGEST, Math.floor((scroll.clientWidth - EDGE) / experts)));
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [EDGE + experts * size, layers * size + 18];
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const draw = canvas.getContext("2d");
    const { color: text, borderTopColor: warn, caretColor: muted } = getComputedStyle(canvas); // as the style sheet says
    draw.scale(ratio, ratio);
    profile.cells.forEach((row, layer) =>
      row.forEach((value, expert) => {
        const [x, y] = [EDGE + expert * size, layer * size];
        draw.fillStyle = colour(value, most);
        draw.fillRect(x, y, size - 1, size - 1);
        if (masked.has(`${layer}:${expert}`)) outline(draw, x, y, warn, 1.5);
      }),
    );
    if (chosen) outline(draw, EDGE + at.expert * size, at.layer * size, text, 2);
    labels(draw, muted);
  }

  function outline(draw, x, y, stroke, width) {
    draw.strokeStyle = stroke;
    draw.lineWidth = width;
    draw.strokeRect(x + width / 2, y + width / 2, size - 1 - width, size - 1 - width);
  }

  function labels(draw, muted) {
    draw.fillStyle = muted;
    draw.font = "10px system-ui, sans-serif";
    draw.textBaseline = "middle";
    draw.textAlign = "right";
    const step = Math.max(1, Math.ceil(12 / size));
    for (let layer = 0; layer < layers; layer += step) draw.fillText(String(layer), EDGE - 6, (layer + 0.5) * size);
    draw.textAlign = "center";
    const every = Math.max(1, Math.ceil(26 / size));
    for (let expert = 0; expert < experts; expert += every)
      draw.fillText(String(expert), EDGE + (expert + 0.5) * size, layers * size + 9);
  }
}

/** The strongest experts as a table: what the map shows, for those who do not see it. */
function topTable(profile, masked) {
  const all = profile.cells.flatMap((row, layer) => row.map((value, expert) => ({ layer, expert, value })));
  const top = all
    .filter((one) => typeof one.value === "number")
    .sort((one, two) => Math.abs(two.value) - Math.abs(one.value))
    .slice(0, 12);
  const rows = top.map(({ layer, expert, value }) =>
    h(
      "tr",
      null,
      [layer, expert, short(value), masked.has(`${layer}:${expert}`) ? "masked" : ""].map((text) =>
        h("td", { class: "number" }, text),
      ),
    ),
  );
  return h(
    "details",
    { class: "prompt" },
    h("summary", null, "The strongest, as a table"),
    h(
      "table",
      { class: "sheet" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["layer", "expert", "value", ""].map((text) => h(text ? "th" : "td", text ? { scope: "col" } : null, text)),
        ),
      ),
      h("tbody", null, rows),
    ),
  );
}

function colour(value, most) {
  const scheme = isDark() ? "dark" : "light";
  const share = typeof value === "number" ? Math.min(1, Math.abs(value) / most) : 0;
  const to = value < 0 ? NEGATIVE[scheme] : HIGH[scheme];
  return `rgb(${LOW[scheme].map((from, n) => Math.round(from + (to[n] - from) * share)).join(" ")})`;
}

function short(value) {
  return Number(value.toPrecision(3)).toString();
}

function clamp(value, length) {
  return Math.max(0, Math.min(value, length - 1));
}
