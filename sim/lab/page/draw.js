// Drawing: the lanes, what is on them, and the axis above.

const lanes = byId("lanes");
const overview = byId("overview");
const GUTTER = 132;
const AXIS = 26;
const BASE = { findings: 20, server: 18, enqueues: 18, life: 17, claims: 9, executions: 9, commits: 22 };
const GAP = { life: 12, findings: 4, server: 4, enqueues: 4 };
let colours = {};
let drawn = []; // what a mouse can point at: {item, x, y, w, h}
let layout = { lanes: [], height: 0 };

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ground", "paper", "ink", "muted", "line", "stripe", "soft", "accent", "life", "claim", "left",
    "succeeded", "failed", "again", "stopped", "stored", "lost", "refused", "held", "fault", "trouble", "down",
    "starting", "good", "bad"]) colours[name] = style.getPropertyValue("--" + name).trim();
}

// kind of bar → colour; kind of mark → [glyph, colour]
const BARS = {
  "life": "life", "claim": "claim", "claim left": "left", "succeeded": "succeeded", "failed": "failed",
  "again": "again", "stopped": "stopped", "stored": "stored", "lost": "lost", "commit failed": "refused",
  "reply lost": "lost", "held": "held", "down": "down", "starting": "starting", "standby": "starting",
};
const MARKS = {
  "finding": ["flag", "bad"], "fault": ["up", "fault"], "killed": ["cross", "bad"], "paused": ["bars", "fault"],
  "resumed": ["dot", "muted"], "born": ["dot", "muted"], "registered": ["right", "muted"],
  "stopping": ["square", "muted"], "exited": ["ring", "muted"], "lease in doubt": ["diamond", "fault"],
  "lease taken": ["diamond", "bad"], "reaped": ["down", "lost"], "server down": ["cross", "down"],
  "server up": ["dot", "good"], "clock set": ["ring", "fault"], "undone by a crash": ["cross", "lost"],
  "enqueued": ["tick", "ink"], "cancel asked": ["cross", "muted"], "adopted": ["down", "good"],
  "reply lost": ["broken", "lost"], "commit failed": ["cross", "refused"], "fallback": ["fork", "refused"],
  "refused": ["bang", "refused"], "abandoned": ["cross", "bad"], "trouble": ["small", "trouble"],
};

function sized(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.font = "11px " + getComputedStyle(document.body).fontFamily;
  pen.textBaseline = "middle";
  return [pen, width, height];
}

// Rows of bars grow into the room that there is; what stands alone in its lane stays as it is.
function arrange(room) {
  const isRow = (lane) => BASE[lane.name] < 12;
  const sum = (lanes) => lanes.reduce((total, lane) => total + BASE[lane.name] * lane.rows, 0);
  const gaps = run.lanes.reduce((total, lane) => total + (GAP[lane.name] || 3), 12);
  const left = room - AXIS - gaps - sum(run.lanes.filter((lane) => !isRow(lane)));
  const factor = Math.min(Math.max(left / Math.max(1, sum(run.lanes.filter(isRow))), 1), 2.4);
  let y = AXIS + 4;
  const placed = run.lanes.map((lane) => {
    const row = BASE[lane.name] * (isRow(lane) ? factor : 1);
    y += GAP[lane.name] || 3;
    const here = { ...lane, y, row, height: row * lane.rows };
    y += here.height;
    return here;
  });
  layout = { lanes: placed, height: y + 8 };
  view.top = Math.min(Math.max(view.top, 0), Math.max(0, layout.height - room));
}

// ---- the lanes -------------------------------------------------------------------------------

function drawLanes() {
  const [pen, width, height] = sized(lanes);
  arrange(height);
  const scale = (width - GUTTER - 8) / (view.to - view.from);
  const xOf = (place) => GUTTER + (place - view.from) * scale;
  drawn = [];
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, width, height);
  pen.save();
  pen.beginPath();
  pen.rect(0, AXIS, width, height - AXIS);
  pen.clip();
  drawGround(pen, width, height, xOf);
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, AXIS, width - GUTTER, height - AXIS);
  pen.clip();
  for (const item of run.items) if (!item.mark) drawBar(pen, item, xOf, width);
  drawThread(pen, xOf);
  for (const item of run.items) if (item.mark) drawMark(pen, item, xOf, width);
  drawFindings(pen, height, xOf);
  pen.restore();
  drawNames(pen);
  pen.restore();
  drawAxis(pen, width, height, xOf);
  drawScroll(pen, width, height);
}

// How much is above and below, when the workers do not all fit in.
function drawScroll(pen, width, height) {
  if (layout.height <= height) return;
  const track = height - AXIS;
  pen.fillStyle = colours.muted;
  pen.globalAlpha = 0.5;
  pen.beginPath();
  pen.roundRect(width - 6, AXIS + (view.top / layout.height) * track, 4, (height / layout.height) * track, 2);
  pen.fill();
  pen.globalAlpha = 1;
}

function drawGround(pen, width, height, xOf) {
  for (const [index, lane] of layout.lanes.entries()) {
    const y = lane.y - view.top;
    if (lane.name === "life" || lane.name === "server") {
      pen.fillStyle = colours.line;
      pen.fillRect(0, y - 7, width, 1);
    }
    if (lane.name === "claims" || lane.name === "commits") {
      pen.fillStyle = colours.stripe;
      pen.fillRect(GUTTER, y - 1, width - GUTTER, lane.height + 2);
    }
    lane.index = index;
  }
  pen.fillStyle = colours.line;
  pen.globalAlpha = 0.7;
  for (const [x] of ticks(width, xOf)) pen.fillRect(x, AXIS, 1, height);
  pen.globalAlpha = 1;
  for (const item of run.items) {
    if (item.kind === "paused" && !item.mark) shadeGroup(pen, item, xOf);
  }
}

// A worker that stands still does nothing in any of its lanes.
function shadeGroup(pen, item, xOf) {
  const ours = layout.lanes.filter((lane) => lane.group === run.lanes[item.lane].group);
  const top = ours[0].y - view.top;
  const last = ours[ours.length - 1];
  const x = Math.max(xOf(item.from), GUTTER);
  const w = xOf(item.to) - x;
  if (w <= 0) return;
  pen.save();
  pen.beginPath();
  pen.rect(x, top, w, last.y + last.height - ours[0].y);
  pen.clip();
  hatch(pen, x, top, w, last.y + last.height - ours[0].y, colours.fault, 0.35);
  pen.restore();
}

function hatch(pen, x, y, w, h, colour, alpha) {
  pen.save();
  pen.globalAlpha *= alpha;
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.beginPath();
  const start = Math.floor((x - h) / 6) * 6;
  for (let at = start; at < x + w; at += 6) {
    pen.moveTo(at, y + h);
    pen.lineTo(at + h, y);
  }
  pen.stroke();
  pen.restore();
}

function placeOf(item, xOf) {
  const lane = layout.lanes[item.lane];
  const x = xOf(item.from);
  const above = lane.name === "commits" ? 8 : 0; // room for what is marked there
  const h = Math.max(lane.row - above - (lane.row > 12 ? 2 : 1.5), 3);
  return { x, y: lane.y - view.top + item.row * lane.row + above, w: Math.max(xOf(item.to) - x, 2), h };
}

function drawBar(pen, item, xOf, width) {
  if (item.kind === "paused") return;
  const { x, y, w, h } = placeOf(item, xOf);
  if (x > width || x + w < GUTTER) return;
  pen.globalAlpha = isLit(item) ? 1 : CONTEXT.has(item.kind) ? 0.45 : 0.12;
  const colour = colours[BARS[item.kind] || "stopped"];
  const radius = Math.min(3, h / 2, w / 2);
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(x, y, w, h, radius);
  if (item.kind === "held") {
    pen.save();
    pen.clip();
    pen.globalAlpha *= 0.35;
    pen.fill();
    pen.restore();
    pen.save();
    pen.clip();
    hatch(pen, Math.max(x, GUTTER), y, Math.min(w, width), h, colours.refused, 0.8);
    pen.restore();
  } else pen.fill();
  if (item === view.hover || item === view.pinned) {
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1.5;
    pen.stroke();
  }
  label(pen, item, x, y, w, h);
  pen.globalAlpha = 1;
  drawn.push({ item, x, y, w, h });
}

function label(pen, item, x, y, w, h) {
  const left = Math.max(x, GUTTER);
  const room = x + w - left - 8;
  if (!item.label || h < 8 || room < 10) return;
  pen.font = (h < 11 ? "600 9px " : "600 11px ") + getComputedStyle(document.body).fontFamily;
  if (pen.measureText(item.label).width > room) return;
  pen.fillStyle = ["life", "claim left"].includes(item.kind) ? colours.ink : colours.paper;
  pen.fillText(item.label, left + 4, y + h / 2 + 0.5);
}

function drawMark(pen, item, xOf, width) {
  const lane = layout.lanes[item.lane];
  const x = xOf(item.from);
  if (x > width + 8 || x < GUTTER - 8) return;
  const y = lane.y - view.top + (lane.name === "commits" ? 3.5 : lane.row / 2 - 1);
  const [shape, colour] = MARKS[item.kind] || ["dot", "muted"];
  pen.globalAlpha = isLit(item) ? 1 : 0.14;
  glyph(pen, shape, x, y, colours[colour], item === view.hover || item === view.pinned);
  pen.globalAlpha = 1;
  drawn.push({ item, x: x - 6, y: y - 7, w: 12, h: 14 });
}

// A finding is looked for first, so it is a line through everything.
function drawFindings(pen, height, xOf) {
  for (const item of run.items) {
    if (item.kind !== "finding") continue;
    pen.globalAlpha = isLit(item) ? 0.75 : 0.3;
    pen.fillStyle = colours.bad;
    pen.fillRect(xOf(item.from) - 0.5, AXIS, 1, height);
    pen.globalAlpha = 1;
  }
  if (view.cursor !== null) {
    pen.fillStyle = colours.accent;
    pen.fillRect(xOf(placeAt(view.cursor)) - 0.75, AXIS, 1.5, height);
  }
}

// The life of one job as a thread through the bars that it was in.
function drawThread(pen, xOf) {
  if (!view.jobs || view.jobs.size !== 1) return;
  const bars = run.items.filter((item) => !item.mark && !CONTEXT.has(item.kind) && isLit(item));
  bars.sort((a, b) => a.from - b.from || a.lane - b.lane);
  pen.strokeStyle = colours.ink;
  pen.globalAlpha = 0.6;
  pen.lineWidth = 1.25;
  pen.beginPath();
  for (let at = 1; at < bars.length; at += 1) {
    const one = placeOf(bars[at - 1], xOf);
    const next = placeOf(bars[at], xOf);
    const fromX = Math.min(one.x + one.w, Math.max(next.x, one.x));
    const fromY = next.y > one.y ? one.y + one.h : one.y;
    const toY = next.y > one.y ? next.y : next.y + next.h;
    const middle = (fromY + toY) / 2;
    pen.moveTo(fromX, fromY);
    pen.bezierCurveTo(fromX, middle, next.x + 1, middle, next.x + 1, toY);
  }
  pen.stroke();
  pen.globalAlpha = 1;
}

function glyph(pen, shape, x, y, colour, lifted) {
  const r = lifted ? 6.5 : 5;
  pen.fillStyle = pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.beginPath();
  const line = (...points) => points.forEach(([dx, dy], at) => (at ? pen.lineTo(x + dx, y + dy) : pen.moveTo(x + dx, y + dy)));
  const shapes = {
    up: () => (line([0, -r], [r, r * 0.8], [-r, r * 0.8], [0, -r]), pen.fill()),
    down: () => (line([0, r], [r, -r * 0.8], [-r, -r * 0.8], [0, r]), pen.fill()),
    right: () => (line([-r * 0.6, -r * 0.8], [r, 0], [-r * 0.6, r * 0.8]), pen.fill()),
    diamond: () => (line([0, -r], [r, 0], [0, r], [-r, 0], [0, -r]), pen.fill()),
    square: () => (pen.rect(x - r * 0.7, y - r * 0.7, r * 1.4, r * 1.4), pen.fill()),
    dot: () => (pen.arc(x, y, r * 0.55, 0, 7), pen.fill()),
    small: () => (pen.arc(x, y, r * 0.5, 0, 7), pen.fill()),
    ring: () => (pen.arc(x, y, r * 0.75, 0, 7), pen.stroke()),
    cross: () => (line([-r * 0.8, -r * 0.8], [r * 0.8, r * 0.8]), line([r * 0.8, -r * 0.8], [-r * 0.8, r * 0.8]), pen.stroke()),
    bars: () => (pen.rect(x - r * 0.8, y - r * 0.8, r * 0.55, r * 1.6), pen.rect(x + r * 0.25, y - r * 0.8, r * 0.55, r * 1.6), pen.fill()),
    tick: () => (pen.rect(x - 1, y - r, 2, r * 2), pen.fill()),
    bang: () => (pen.rect(x - 1.25, y - r, 2.5, r * 1.25), pen.rect(x - 1.25, y + r * 0.55, 2.5, 2.5), pen.fill()),
    fork: () => (line([-r, 0], [0, 0], [r, -r * 0.9]), line([0, 0], [r, 0]), line([0, 0], [r, r * 0.9]), pen.stroke()),
    broken: () => (line([-r, 0], [-r * 0.35, 0]), line([r * 0.35, 0], [r, 0]), line([-r * 0.1, r * 0.8], [r * 0.1, -r * 0.8]), pen.stroke()),
    flag: () => (pen.rect(x - 1, y - r * 1.3, 2, r * 2.8), line([0, -r * 1.3], [r * 1.9, -r * 0.6], [0, r * 0.1]), pen.fill()),
  };
  shapes[shape]();
}

function drawNames(pen) {
  pen.fillStyle = colours.paper;
  pen.globalAlpha = 0.94;
  pen.fillRect(0, AXIS, GUTTER - 6, layout.height);
  pen.globalAlpha = 1;
  const font = getComputedStyle(document.body).fontFamily;
  for (const lane of layout.lanes) {
    const y = lane.y - view.top;
    const own = lane.name === "life" ? lane.group : lane.name;
    const isHead = ["life", "server", "findings", "enqueues"].includes(lane.name);
    pen.font = (isHead ? "600 12px " : "11px ") + font;
    pen.fillStyle = isHead ? colours.ink : colours.muted;
    pen.fillText(own === "enqueues" ? "client" : own, isHead ? 14 : 24, y + Math.min(lane.height, isHead ? 16 : 40) / 2);
    if (lane.name === "life") {
      pen.fillStyle = colours.line;
      pen.fillRect(0, y - 7, GUTTER - 6, 1);
    }
  }
}

function drawAxis(pen, width, height, xOf) {
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, width, AXIS);
  const healed = run.healed_s === null ? 1 : placeAt(run.healed_s);
  const left = Math.max(xOf(0), GUTTER);
  pen.fillStyle = colours.fault;
  pen.globalAlpha = 0.16;
  pen.fillRect(left, 0, Math.max(0, Math.min(xOf(healed), width) - left), AXIS);
  pen.globalAlpha = 1;
  pen.font = "11px " + getComputedStyle(document.body).fontFamily;
  pen.fillStyle = colours.muted;
  for (const [x, words] of ticks(width, xOf)) pen.fillText(words, x + 4, AXIS / 2);
  phaseLine(pen, height, xOf, run.healed_s, "healed", 12);
  phaseLine(pen, height, xOf, run.drained_s, "drained", 28);
  pen.fillStyle = colours.muted;
  pen.fillText(view.even ? "virtual time" : "time, stretched", 14, AXIS / 2);
  pen.fillStyle = colours.line;
  pen.fillRect(0, AXIS - 1, width, 1);
}

function phaseLine(pen, height, xOf, at, name, above) {
  if (at === null) return;
  const x = xOf(placeAt(at));
  if (x < GUTTER) return;
  pen.strokeStyle = colours.good;
  pen.setLineDash([4, 4]);
  pen.beginPath();
  pen.moveTo(x, 0);
  pen.lineTo(x, height);
  pen.stroke();
  pen.setLineDash([]);
  const w = pen.measureText(name).width;
  pen.fillStyle = colours.paper;
  pen.fillRect(x - w - 9, height - above - 8, w + 8, 15);
  pen.fillStyle = colours.good;
  pen.fillText(name, x - w - 5, height - above);
}

// Round moments in view, as [x, words]: where a second is not as long everywhere, each is rounded
// to what its surroundings allow.
function* ticks(width, xOf) {
  const room = 105;
  let free = GUTTER;
  for (let x = GUTTER; x < width; x += room / (view.even ? 1 : 3)) {
    const place = view.from + ((x - GUTTER) / (width - GUTTER - 8)) * (view.to - view.from);
    const from = secondsAt(place);
    const to = secondsAt(place + (room / (width - GUTTER)) * (view.to - view.from));
    const step = niceStep((to - from) * (view.even ? 1 : 0.35));
    const seconds = Math.ceil(from / step - 1e-9) * step;
    const at = xOf(placeAt(seconds));
    if (seconds < 0 || seconds > to || at < free) continue;
    free = at + room * 0.7;
    yield [at, timeText(seconds, step)];
  }
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least);
}

function timeText(at, step) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return at.toFixed(digits) + " s";
}
