// The story beside the picture, the mouse, the keys, and what follows from them.

function drawHeader() {
  byId("title").textContent = run.title;
  byId("plan").textContent = [run.story_told, run.plan].filter(Boolean).join("\n");
  byId("figures").textContent = run.figures;
  const found = run.story.filter((told) => told.weight === 4);
  byId("verdict").textContent = found.length ? `${found.length} finding${found.length > 1 ? "s" : ""}` : "nothing found";
  byId("verdict").className = found.length ? "bad" : "good";
  byId("found").hidden = !found.length;
  byId("found").replaceChildren(...found.map((told) => {
    const line = element("p", `${told.at_s.toFixed(4)}  ${told.text}`);
    line.onclick = () => {
      if (told.jobs.length) select(told.jobs, told.jobs.length === 1 ? jobTitle(told.jobs[0]) : "jobs of the finding");
      goTo(told.at_s);
    };
    return line;
  }));
}

// Bring a moment into the middle, as near as the view is.
function goTo(seconds) {
  const half = (view.to - view.from) / 2;
  show(placeAt(seconds) - half, placeAt(seconds) + half);
  changed();
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function chip(place) {
  const made = element("span", jobTitle(place).slice(4), view.jobs && view.jobs.size === 1 && view.jobs.has(place) ? "chip on" : "chip");
  made.onclick = () => { select([place], jobTitle(place)); changed(); };
  return made;
}

function drawCard() {
  const card = byId("card");
  card.hidden = !view.jobs;
  byId("selection").hidden = !view.jobs;
  byId("even").className = view.even ? "on" : "";
  if (!view.jobs) return;
  const places = [...view.jobs];
  const one = places.length === 1 ? run.jobs[places[0]] : null;
  const near = element("button", "zoom to its life");
  near.onclick = () => { show(...lifeOf(view.jobs)); changed(); };
  const chips = element("div", "", "chips");
  if (!one) chips.append(...places.sort((a, b) => a - b).map(chip));
  const about = one ? `${one.path} · ${one.id}` : `${places.length} jobs; click one to see its life alone`;
  card.replaceChildren(element("b", view.title), element("p", about), chips, near);
  const close = element("span", `${view.title}  ✕`, "chip on");
  close.onclick = () => { select(null); changed(); };
  byId("selection").replaceChildren(close);
}

// Lines are made once; a filter only hides them.
const lines = run.story.map((told) => {
  const line = element("li", "", `w${told.weight}`);
  const text = element("span", "");
  text.append(element("i", told.who + "  "), told.text);
  line.append(element("time", told.at_s.toFixed(4)), text);
  line.onclick = () => goTo(told.at_s);
  line.onmouseenter = () => { view.cursor = told.at_s; drawLanes(); };
  line.onmouseleave = () => { view.cursor = null; drawLanes(); };
  return line;
});

byId("story").append(...lines);

function drawStory() {
  const [from, to] = [secondsAt(view.from), secondsAt(view.to)];
  let shown = 0;
  let first = null;
  run.story.forEach((told, at) => {
    const isShown = isTold(told);
    const isNear = told.at_s >= from && told.at_s <= to;
    lines[at].hidden = !isShown;
    lines[at].style.display = isShown ? "" : "none";
    lines[at].classList.toggle("far", !isNear);
    if (isShown) shown += 1;
    if (isShown && isNear && !first) first = lines[at];
  });
  byId("count").textContent = isFiltered() ? `the story: ${shown} of ${lines.length} lines` : `the story: ${lines.length} lines`;
  if (first) byId("story").scrollTop = first.offsetTop - byId("story").offsetTop - 4;
}

// ---- the tip ------------------------------------------------------------------------------------

function lastedText(item) {
  const lasted = item.to_s - item.from_s;
  if (item.mark || lasted === 0) return item.to_s.toFixed(4) + " s";
  const text = lasted < 1 ? (lasted * 1000).toFixed(2) + " ms" : lasted.toFixed(3) + " s";
  return `${item.from_s.toFixed(4)} to ${item.to_s.toFixed(4)} s, ${text}`;
}

function drawTip(item, x, y) {
  const tip = byId("tip");
  tip.hidden = !item;
  if (!item) return;
  const parts = [element("b", `${item.who} · ${item.kind}`), element("p", item.text)];
  parts.push(element("p", lastedText(item), "dim"));
  if (item.fault) parts.push(element("p", item.fault, "dim"));
  if (item.jobs.length) parts.push(element("p", item.jobs.length === 1 ? `click: the life of ${jobTitle(item.jobs[0])}` : `click: the lives of these ${item.jobs.length} jobs`, "dim"));
  tip.replaceChildren(...parts);
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = (y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18) + "px";
}

// ---- the mouse and the keys -----------------------------------------------------------------------

function itemAt(x, y) {
  const hits = drawn.filter((one) => x >= one.x - 1 && x <= one.x + one.w + 1 && y >= one.y && y <= one.y + one.h);
  return hits.length ? hits[hits.length - 1].item : null;
}

const placeUnder = (x) => view.from + ((x - GUTTER) / (lanes.clientWidth - GUTTER - 8)) * (view.to - view.from);

let drag = null;

lanes.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, from: view.from, to: view.to, top: view.top, moved: false };
  lanes.setPointerCapture(event.pointerId);
});

lanes.addEventListener("pointermove", (event) => {
  const box = lanes.getBoundingClientRect();
  if (drag) {
    drag.moved = drag.moved || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 3;
    const places = ((drag.x - event.clientX) / (lanes.clientWidth - GUTTER - 8)) * (drag.to - drag.from);
    show(drag.from + places, drag.to + places);
    view.top = drag.top + drag.y - event.clientY;
    lanes.classList.add("dragged");
    drawTip(null);
    redraw();
    return;
  }
  const item = itemAt(event.clientX - box.left, event.clientY - box.top);
  if (item !== view.hover) {
    view.hover = item;
    lanes.classList.toggle("over", Boolean(item && item.jobs.length));
    drawLanes();
  }
  drawTip(item, event.clientX, event.clientY);
});

lanes.addEventListener("pointerup", () => {
  lanes.classList.remove("dragged");
  const wasClick = drag && !drag.moved;
  drag = null;
  if (!wasClick) { changed(); return; }
  const item = view.hover;
  if (item && item.jobs.length) {
    const title = item.jobs.length === 1 ? jobTitle(item.jobs[0]) : item.kind.startsWith("claim") ? item.label.split(" ")[0] : `${item.kind} at ${item.to_s.toFixed(4)}`;
    select(item.jobs, title);
  } else select(null);
  changed();
});

lanes.addEventListener("pointerleave", () => {
  view.hover = null;
  drawTip(null);
  drawLanes();
});

lanes.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = lanes.getBoundingClientRect();
  if (event.shiftKey) view.top += event.deltaY || event.deltaX;
  else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX / lanes.clientWidth) * (view.to - view.from));
  else zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) * 0.0022), placeUnder(event.clientX - box.left));
  changed();
}, { passive: false });

function dragOverview(event) {
  if (!event.buttons) return;
  const box = overview.getBoundingClientRect();
  const at = whole[0] + ((event.clientX - box.left - GUTTER) / (box.width - GUTTER - 8)) * (whole[1] - whole[0]);
  const half = (view.to - view.from) / 2;
  show(at - half, at + half);
  changed();
}
overview.addEventListener("pointerdown", dragOverview);
overview.addEventListener("pointermove", dragOverview);

byId("in").onclick = () => { zoom(0.5); changed(); };
byId("out").onclick = () => { zoom(2); changed(); };
byId("all").onclick = () => { show(...whole); changed(); };
byId("even").onclick = () => { setEven(!view.even); changed(); };
byId("filter").oninput = (event) => { view.text = event.target.value.trim().toLowerCase(); changed(); };

addEventListener("keydown", (event) => {
  if (event.target === byId("filter") && event.key !== "Escape") return;
  const width = view.to - view.from;
  const keys = {
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), "0": () => show(...whole),
    ArrowLeft: () => pan(-width / 5), ArrowRight: () => pan(width / 5),
    ArrowUp: () => { view.top -= 40; }, ArrowDown: () => { view.top += 40; },
    f: () => { event.preventDefault(); byId("filter").focus(); },
    Escape: () => { select(null); view.text = ""; view.kind = null; byId("filter").value = ""; byId("filter").blur(); },
  };
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  keys[event.key]();
  changed();
});

// ---- all together ---------------------------------------------------------------------------------

let asked = false;

function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; drawLanes(); drawOverview(); });
}

function changed() {
  redraw();
  drawCard();
  drawStory();
  drawLegend();
  writeAddress();
}

function begin() {
  readColours();
  readAddress();
  drawHeader();
  byId("filter").value = view.text;
  drawCard();
  drawStory();
  drawLanes();
  drawOverview();
  drawLegend();
  if (view.pinned) {
    const box = lanes.getBoundingClientRect();
    const there = drawn.find((one) => one.item === view.pinned);
    if (there) drawTip(view.pinned, box.left + there.x + Math.min(there.w, 40), box.top + there.y + there.h / 2);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); drawLegend(); });
addEventListener("hashchange", () => { view.jobs = null; begin(); });
addEventListener("resize", redraw);
begin();
