// What is shown: the run, and the view that somebody has of it. No drawing here.

const run = JSON.parse(document.getElementById("run").textContent);
const byId = (id) => document.getElementById(id);

const view = {
  from: 0, to: 1, // places on the axis, 0 to 1 is the whole run
  even: false, // whether a second is as long everywhere
  top: 0, // pixels scrolled down
  jobs: null, // a set of places in run.jobs: only their life is lit
  title: "", // what the selection is called
  text: "", // only what contains it is lit
  kind: null, // only this kind is lit
  hover: null, // an item
  cursor: null, // a moment that the story points at
};

const span = Math.max(run.end_s, 1e-3);
const whole = [-0.012, 1.012];

// ---- time as it is shown: even, or stretched where much happens --------------------------------

function makeAxis(times, power) {
  const knots = [...new Set([0, ...times, span])].sort((a, b) => a - b);
  const places = [0];
  for (let at = 1; at < knots.length; at += 1) places.push(places[at - 1] + (knots[at] - knots[at - 1]) ** power);
  const total = places[places.length - 1];
  return { knots, places: places.map((place) => place / total) };
}

// The value in `to` that stands where `value` stands in `from`; beyond the ends it goes on evenly.
function between(from, to, value) {
  const last = from.length - 1;
  if (value <= from[0]) return to[0] + (value - from[0]) * ((to[last] - to[0]) / (from[last] - from[0]));
  if (value >= from[last]) return to[last] + (value - from[last]) * ((to[last] - to[0]) / (from[last] - from[0]));
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (from[middle] <= value) low = middle;
    else high = middle;
  }
  return to[low] + ((value - from[low]) / (from[high] - from[low])) * (to[high] - to[low]);
}

const evenAxis = makeAxis([], 1);
const busyAxis = makeAxis(run.items.flatMap((item) => [item.from_s, item.to_s]).filter((at) => at > 0 && at < span), 0.45);
const axis = () => (view.even ? evenAxis : busyAxis);
const placeAt = (seconds) => between(axis().knots, axis().places, seconds);
const secondsAt = (place) => between(axis().places, axis().knots, place);

function placeItems() {
  for (const item of run.items) {
    item.from = placeAt(item.from_s);
    item.to = placeAt(item.to_s);
  }
}

function setEven(even) {
  const seconds = [secondsAt(view.from), secondsAt(view.to)];
  view.even = even;
  placeItems();
  show(placeAt(seconds[0]), placeAt(seconds[1]));
}

// A reader looks for what a word stands for, too: "job 07" finds the bars of job 07.
for (const item of run.items) {
  item.jobs = item.jobs || [];
  item.row = item.row || 0;
  item.label = item.label || "";
  item.fault = item.fault || "";
  item.who = item.who || run.lanes[item.lane].group;
  item.inside = new Set(item.jobs);
  const names = item.jobs.map((place) => "job " + run.jobs[place].name).join(" ");
  item.words = [item.text, item.label, item.who, item.kind, item.fault, names].join(" ").toLowerCase();
}
for (const told of run.story) {
  told.jobs = told.jobs || [];
  const names = told.jobs.map((place) => "job " + run.jobs[place].name).join(" ");
  told.words = [told.text, told.who, names].join(" ").toLowerCase();
}

const CONTEXT = new Set(["life", "paused", "down", "starting", "standby"]);

function isLit(item) {
  if (view.kind && item.kind !== view.kind) return false;
  if (view.text && !item.words.includes(view.text)) return false;
  if (view.jobs && !item.jobs.some((place) => view.jobs.has(place))) return false;
  return true;
}

function isTold(told) {
  if (view.text && !told.words.includes(view.text)) return false;
  if (view.jobs && !told.jobs.some((place) => view.jobs.has(place))) return false;
  return true;
}

const isFiltered = () => Boolean(view.jobs || view.text || view.kind);

function show(from, to) {
  const most = whole[1] - whole[0];
  const width = Math.min(Math.max(to - from, 1e-7), most);
  const start = (from + to - width) / 2;
  view.from = Math.min(Math.max(start, whole[0]), whole[1] - width);
  view.to = view.from + width;
}

function zoom(factor, at) {
  const pivot = at === undefined ? (view.from + view.to) / 2 : at;
  show(pivot - (pivot - view.from) * factor, pivot + (view.to - pivot) * factor);
}

function pan(places) {
  show(view.from + places, view.to + places);
}

function lifeOf(jobs) {
  const items = run.items.filter((item) => item.jobs.some((place) => jobs.has(place)));
  const from = Math.min(...items.map((item) => item.from));
  const to = Math.max(...items.map((item) => item.to));
  const room = Math.max((to - from) * 0.08, 1 / 2000);
  return [from - room, to + room];
}

function select(jobs, title) {
  view.jobs = jobs && jobs.length ? new Set(jobs) : null;
  view.title = view.jobs ? title : "";
}

const jobTitle = (place) => "job " + run.jobs[place].name;

// ---- the address: #job=07&claim=c3&q=refused&t=0.02-0.06&hover=c3&even -----------------------------

function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const job = run.jobs.findIndex((one) => one.name === asked.get("job") || one.id === asked.get("job"));
  const claim = run.items.find((item) => item.kind.startsWith("claim") && item.label.split(" ")[0] === asked.get("claim"));
  if (job >= 0) select([job], jobTitle(job));
  else if (claim) select(claim.jobs, claim.label.split(" ")[0]);
  view.even = asked.has("even");
  placeItems();
  view.text = (asked.get("q") || "").toLowerCase();
  const times = /^(-?[\d.]+)-([\d.]+)$/.exec(asked.get("t") || "");
  if (times) show(placeAt(Number(times[1])), placeAt(Number(times[2])));
  else if (view.jobs) show(...lifeOf(view.jobs));
  else show(...whole);
  const hover = asked.get("hover");
  view.pinned = hover ? run.items.find((item) => item.label.split(" ")[0] === hover || item.text.includes(hover)) : null;
}

function writeAddress() {
  const said = new URLSearchParams();
  if (view.jobs && view.jobs.size === 1) said.set("job", run.jobs[[...view.jobs][0]].name);
  else if (view.jobs) said.set("claim", view.title);
  if (view.text) said.set("q", view.text);
  if (view.to - view.from < (whole[1] - whole[0]) * 0.999) {
    said.set("t", Math.max(secondsAt(view.from), 0).toFixed(6) + "-" + secondsAt(view.to).toFixed(6));
  }
  if (view.even) said.set("even", "");
  history.replaceState(null, "", "#" + said);
}
