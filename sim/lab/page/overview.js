// The whole run in one strip, and what the colours and signs mean.

function drawOverview() {
  const [pen, width, height] = sized(overview);
  const xOf = (place) => GUTTER + ((place - whole[0]) / (whole[1] - whole[0])) * (width - GUTTER - 8);
  pen.fillStyle = colours.ground;
  pen.fillRect(0, 0, width, height);
  const bins = new Map();
  for (const item of run.items) {
    if (item.mark || CONTEXT.has(item.kind) || item.kind === "held") continue;
    const x = Math.round(xOf(item.to) / 3) * 3;
    bins.set(x, (bins.get(x) || 0) + (isLit(item) ? 1 : 0));
  }
  const most = Math.max(1, ...bins.values());
  pen.fillStyle = colours.claim;
  for (const [x, count] of bins) {
    const h = count ? 3 + (height - 20) * Math.sqrt(count / most) : 0;
    pen.fillRect(x, height - 6 - h, 2, h);
  }
  for (const item of run.items) {
    const strong = { finding: "bad", killed: "bad", "server down": "down", fallback: "refused", fault: "fault" }[item.kind];
    if (!item.mark || !strong) continue;
    pen.fillStyle = colours[strong];
    pen.fillRect(xOf(item.from), item.kind === "finding" ? 2 : height - 5, item.kind === "finding" ? 2 : 1.5, item.kind === "finding" ? height - 4 : 4);
  }
  const from = xOf(view.from);
  const to = Math.max(xOf(view.to), from + 3);
  pen.fillStyle = colours.ink;
  pen.globalAlpha = 0.1;
  pen.fillRect(GUTTER, 0, Math.max(0, from - GUTTER), height);
  pen.fillRect(to, 0, width - to, height);
  pen.globalAlpha = 1;
  pen.strokeStyle = colours.accent;
  pen.lineWidth = 1.5;
  pen.strokeRect(from, 1, to - from, height - 2);
  pen.fillStyle = colours.muted;
  pen.fillText("whole run", 14, height / 2);
}

const LEGEND = [
  ["claim", "claim: batch pulled until settled"], ["claim left", "never settled"], ["succeeded", "succeeded"], ["failed", "failed"],
  ["again", "another try or time"], ["stopped", "cancelled, cut off"], ["stored", "commit stored"],
  ["commit failed", "commit failed"], ["lost", "dropped: claim gone"], ["held", "held until the next try"], ["fallback", "fallback"],
  ["refused", "outcome refused"], ["reply lost", "reply lost"], ["fault", "fault"], ["killed", "killed"],
  ["paused", "paused"], ["lease in doubt", "lease in doubt"], ["lease taken", "lease taken"], ["down", "server down"], ["reaped", "reaped"], ["enqueued", "enqueue"],
  ["trouble", "failed request"], ["finding", "finding"],
];

function drawLegend() {
  byId("legend").replaceChildren(...LEGEND.filter(([kind]) => run.items.some((item) => item.kind === kind)).map(([kind, words]) => {
    const entry = document.createElement("span");
    const canvas = document.createElement("canvas");
    entry.append(canvas, words);
    entry.className = view.kind === kind ? "on" : "";
    entry.title = "show only these";
    entry.onclick = () => { view.kind = view.kind === kind ? null : kind; changed(); };
    requestAnimationFrame(() => {
      const [pen, width, height] = sized(canvas);
      if (BARS[kind] && kind !== "reply lost") {
        pen.fillStyle = colours[BARS[kind]];
        pen.beginPath();
        pen.roundRect(0, 2, width, height - 4, 3);
        pen.fill();
        if (kind === "held") { pen.clip(); hatch(pen, 0, 2, width, height - 4, colours.refused, 0.8); }
      } else glyph(pen, ...MARKS[kind].slice(0, 1), width / 2, height / 2, colours[MARKS[kind][1]], false);
    });
    return entry;
  }));
}
