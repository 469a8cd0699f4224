// An answer as a picture: one number, bars, or a line over time. Everything is made of nodes and text nodes, never of markup in the data.
const SVG = "http://www.w3.org/2000/svg";

const numeric = (column) => column.type === "integer" || column.type === "number";

function words(value, digits = 0) {
  if (value === null) return "–";
  if (typeof value === "number") return value.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: 2 });
  return String(value);
}

// All numbers of a column with as many digits after the point, so that they stand under each other.
function digitsOf(found, at) {
  return found.columns[at].type === "number" && found.rows.some((r) => typeof r[at] === "number" && !Number.isInteger(r[at])) ? 2 : 0;
}

// Moments as short as all of a column allow: years, months, days.
function moments(values) {
  const texts = values.map((v) => words(v).replace(/[T ]00:00:00.*$/, ""));
  for (const ending of ["-01-01", "-01"])
    if (texts.every((t) => /^\d{4}-/.test(t) && t.endsWith(ending))) return texts.map((t) => t.slice(0, -ending.length));
  return texts;
}

// Steps of 1, 2 or 5 times a power of ten.
function ticks(low, high) {
  const rough = (high - low || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((f) => f * power >= rough);
  const out = [];
  for (let i = Math.floor(low / step); ; ++i) {
    out.push(i * step);
    if (i * step >= high) return out;
  }
}

function draw(name, attributes = {}, text = undefined) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const short = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

// Where the names end and the numbers begin: the first numeric column that is not the first of several.
function split(columns) {
  const value = columns.findLastIndex((c, i) => numeric(c) && (i === columns.length - 1 || !columns.slice(i + 1).some(numeric)));
  const first = columns.findIndex((c, i) => numeric(c) && i > 0);
  return { label: 0, value: first > 0 ? first : value };
}

function picture(width, height, title) {
  const svg = draw("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  svg.append(draw("title", {}, title));
  return svg;
}

function bars(found, title, wide) {
  const { label, value } = split(found.columns);
  const rows = found.rows.filter((r) => typeof r[value] === "number");
  const names = rows.map((r) => found.columns.slice(0, Math.max(value, 1)).map((_, i) => words(r[label + i])).join(" "));
  const room = wide < 500 ? 18 : 34;
  const left = 24 + 7.2 * Math.max(...names.map((n) => Math.min(n.length, room)));
  const digits = digitsOf(found, value);
  const low = Math.min(0, ...rows.map((r) => r[value])), high = Math.max(low + 1e-9, 0, ...rows.map((r) => r[value]));
  const x = (v) => left + ((wide - left - 90) * (v - low)) / (high - low);
  const svg = picture(wide, rows.length * 28 + 26, title);
  svg.append(draw("text", { x: left, y: 14, class: "soft" }, found.columns[value].name));
  rows.forEach((row, i) => {
    const y = 24 + i * 28;
    const from = x(Math.min(row[value], 0)), to = Math.max(x(Math.max(row[value], 0)), from + 2);
    const name = draw("text", { x: left - 10, y: y + 15, "text-anchor": "end" }, short(names[i], room));
    if (names[i].length > room) name.append(draw("title", {}, names[i]));
    svg.append(name);
    svg.append(draw("rect", { x: from, y, width: to - from, height: 20, rx: 3, class: row[value] < 0 ? "mark below" : "mark" }));
    svg.append(draw("text", { x: to + 8, y: y + 15, class: "soft" }, words(row[value], digits)));
  });
  if (low < 0) svg.append(draw("line", { x1: x(0), x2: x(0), y1: 20, y2: 24 + rows.length * 28, class: "zero" }));
  return svg;
}

// Where each moment lies between the first and the last, 0 to 1: what is missing leaves a gap. By their number, where they are no moments in order.
function places(values) {
  const times = values.map((v) => Date.parse(/^\d{4}-\d\d-\d\d$/.test(v) ? v : `${String(v).replace(" ", "T")}Z`));
  const span = times[times.length - 1] - times[0];
  const inOrder = times.every((t, i) => i === 0 || t > times[i - 1]);
  return values.map((_, i) => (inOrder && span > 0 ? (times[i] - times[0]) / span : i / Math.max(values.length - 1, 1)));
}

function line(found, title, wide) {
  const { value } = split(found.columns);
  const rows = found.rows.filter((r) => typeof r[value] === "number");
  const names = moments(rows.map((r) => r[0]));
  const height = 260, left = 64, right = 24, bottom = 34, top = 24;
  const values = rows.map((r) => r[value]);
  const marks = ticks(Math.min(...values, 0), Math.max(...values, 0));
  const low = marks[0], high = marks[marks.length - 1];
  const at = places(rows.map((r) => r[0]));
  const x = (i) => left + (wide - left - right) * at[i];
  const y = (v) => top + (height - top - bottom) * (1 - (v - low) / (high - low));
  const svg = picture(wide, height, title);
  svg.append(draw("text", { x: left, y: 14, class: "soft" }, found.columns[value].name));
  for (const v of marks) {
    svg.append(draw("line", { x1: left, x2: wide - right, y1: y(v), y2: y(v), class: "grid" }));
    svg.append(draw("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end", class: "soft" }, words(v)));
  }
  svg.append(draw("path", { class: "path", d: rows.map((r, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(r[value]).toFixed(1)}`).join("") }));
  const radius = rows.length > 60 ? 1.5 : 3.5;
  const needs = 12 + 7.5 * Math.max(...names.map((n) => Math.min(n.length, 12)));
  let named = -Infinity;
  rows.forEach((r, i) => {
    const point = draw("circle", { cx: x(i), cy: y(r[value]), r: radius, class: "mark" });
    point.append(draw("title", {}, `${names[i]}: ${words(r[value], digitsOf(found, value))}`));
    svg.append(point);
    if (x(i) - named < needs) return;
    named = x(i);
    const end = x(i) + needs / 2 > wide;
    svg.append(draw("text", { x: end ? wide - 2 : x(i), y: height - 10, "text-anchor": end ? "end" : "middle", class: "soft" }, short(names[i], 12)));
  });
  return svg;
}

function number(found) {
  const node = document.createElement("p");
  node.className = "number";
  node.textContent = words(found.rows[0][0]);
  const name = document.createElement("small");
  name.textContent = found.columns[0].name;
  node.append(name);
  return node;
}

// `room` in pixels. Nothing where a table says it best.
export function chart(found, title, room) {
  const wide = Math.max(300, Math.min(760, room));
  if (!found.rows.length) return null;
  if (found.chart === "number") return number(found);
  if (found.chart === "bar") return bars(found, title, wide);
  if (found.chart === "line") return line(found, title, wide);
  return null;
}

// Numbers that the picture does not show.
export function unshown(found) {
  const { value } = split(found.columns);
  return found.columns.filter((c, i) => i > value && numeric(c)).map((c) => c.name);
}

export function table(found) {
  const node = document.createElement("table");
  const head = node.createTHead().insertRow();
  for (const column of found.columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = column.name + (column.mask && column.mask !== "none" ? " (masked)" : "");
    if (numeric(column)) cell.className = "right";
    head.append(cell);
  }
  const body = node.createTBody();
  const digits = found.columns.map((_, i) => digitsOf(found, i));
  for (const row of found.rows) {
    const line = body.insertRow();
    row.forEach((value, i) => {
      const cell = line.insertCell();
      cell.textContent = words(value, digits[i]);
      if (numeric(found.columns[i])) cell.className = "right";
    });
  }
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.tabIndex = 0;                 // so that the arrow keys reach what lies outside
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `${found.rows.length} rows`);
  scroll.append(node);
  return scroll;
}
