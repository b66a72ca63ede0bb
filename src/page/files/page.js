// Asks the controller for /pairs.json every second and shows it. Nothing here decides or words anything but ages and plots, and nothing
// changes anything: see src/page. Text only ever becomes text nodes.
"use strict";

const EVERY = 1000;
const PATIENCE = 4000;
// How long lags are kept, and how much of that is shown at least, in milliseconds.
const KEPT = 10 * 60 * 1000;
const SHOWN_AT_LEAST = 30 * 1000;
// Two samples further apart are not joined by a line.
const APART = 5000;
// More pairs than that are shown closed unless somebody should look at them.
const OPEN_AT_MOST = 6;

const state = { view: null, at: 0, failed: null, problems: null, lags: new Map(), open: new Map(), copied: null };

// --- elements

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line", "rect", "text", "circle", "g", "title"]);

function h(tag, attributes, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") element.on = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

// Makes an element's children these ones, and keeps what is there already: focus, selection and scrolling stay.
function show(parent, children) {
  const wanted = children.flat(Infinity).filter((child) => child instanceof Node);
  const keyed = new Map([...parent.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = parent.firstChild;
  for (const next of wanted) {
    const same = next.id ? keyed.get(next.id) : place;
    if (same && same.nodeType === next.nodeType && same.nodeName === next.nodeName && (same.id ?? "") === (next.id ?? "")) {
      if (same === place) place = place.nextSibling;
      else parent.insertBefore(same, place);
      update(same, next);
    } else {
      listen(next);
      parent.insertBefore(next, place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

function update(element, next) {
  if (element.nodeType === Node.TEXT_NODE) {
    if (element.data !== next.data) element.data = next.data;
    return;
  }
  for (const { name } of [...element.attributes]) if (!next.hasAttribute(name)) element.removeAttribute(name);
  for (const { name, value } of next.attributes) if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  element.on = next.on;
  element.onclick = next.on ?? null;
  show(element, [...next.childNodes]);
}

function listen(element) {
  if (element.on) element.onclick = element.on;
  for (const child of element.children ?? []) listen(child);
}

// --- words

function span(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

const number = (value) => value.toLocaleString("en-US");
const operations = (value) => (value === null ? "unknown" : value === 1 ? "1 operation" : `${number(value)} operations`);
const WORD = { bad: "Problem", attention: "Look", good: "Good" };

// Commands within a sentence are set as such.
function sentence(text) {
  return text.split(/(kubectl [^;]+)/).map((part, odd) => (odd % 2 ? h("code", {}, part) : part));
}

function command(text) {
  const copied = state.copied === text;
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    state.copied = text;
    draw();
    setTimeout(() => { state.copied = null; draw(); }, 2000);
  };
  return h("div", { class: "command" },
    h("code", { tabindex: "0", role: "group", "aria-label": "command" }, text),
    navigator.clipboard ? h("button", { type: "button", class: "copy", "aria-label": `Copy: ${text}`, on: copy }, copied ? "Copied" : "Copy") : null);
}

const badge = (words, more = "") => h("span", { class: `badge ${words.urgency ?? "plain"} ${more}` }, words.text);
const toned = (words) => h("span", { class: words.urgency ?? "plain" }, words.text);

// --- the parts of a pair

function problems(pair) {
  if (pair.problems.length === 0) return null;
  return h("ul", { class: "problems", "aria-label": `Problems of ${pair.name}` }, pair.problems.map((problem) =>
    h("li", { class: problem.urgency },
      h("p", { class: "title" }, h("span", { class: "unseen" }, `${WORD[problem.urgency]}: `), problem.title,
        problem.since ? h("span", { class: "muted" }, ` for ${problem.since}`) : null),
      h("p", {}, sentence(problem.text)))));
}

function underWay(pair) {
  if (!pair.underWay) return null;
  return h("section", { class: "under-way" }, h("h3", {}, "Under way"),
    h("p", { class: "title" }, pair.underWay.title), pair.underWay.text.map((text) => h("p", {}, sentence(text))));
}

function members(pair, id) {
  const cell = (label, ...children) => h("td", { role: "cell" }, h("span", { class: "label", "aria-hidden": "true" }, label), h("span", {}, children));
  const heading = (text) => h("th", { scope: "col", role: "columnheader" }, text);
  const row = (member) => h("tr", { role: "row" },
    h("th", { scope: "row", role: "rowheader" }, member.name, " ",
      member.role === "Active" ? h("span", { class: "role" }, "Active") : h("span", { class: "muted role-plain" }, member.role)),
    cell("State", badge(member.state)),
    cell("Head", h("span", { class: "figure" }, member.head ?? "–")),
    cell("Lag", toned(member.lag), member.sampled ? h("span", { class: "muted small" }, ` measured ${member.sampled} ago`) : null),
    cell("To replay", member.replay ?? "–"));
  return h("section", { class: "members" }, h("h3", { id: `${id}-members` }, "Members"),
    pair.members.length === 0
      ? h("p", { class: "muted" }, "No member was seen yet.")
      : h("table", { role: "table", "aria-labelledby": `${id}-members` },
          h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ["Member", "State", "Head", "Lag", "To replay"].map(heading))),
          h("tbody", { role: "rowgroup" }, pair.members.map(row))));
}

const lagKey = (pair, member) => `${pair.namespace}/${pair.name}/${member}`;

function remember(view, now) {
  const seen = new Set();
  for (const pair of view.pairs) {
    for (const { member, ops } of pair.lags) {
      const key = lagKey(pair, member);
      seen.add(key);
      const points = (state.lags.get(key) ?? []).filter((point) => point.at > now - KEPT);
      points.push({ at: now, ops });
      state.lags.set(key, points);
    }
  }
  for (const key of state.lags.keys()) if (!seen.has(key)) state.lags.delete(key);
}

function plot(pair, id, width) {
  const lines = pair.lags.map(({ member, ops }) => ({ member, ops, points: state.lags.get(lagKey(pair, member)) ?? [] }));
  const section = (...children) => h("section", { class: "lag", id: `${id}-lag` }, h("h3", {}, "Lag, in operations"), children);
  if (lines.length === 0) return section(h("p", { class: "muted" }, "No standby was seen yet."));
  const all = lines.flatMap((line) => line.points);
  const now = state.at;
  const begin = Math.min(...all.map((point) => point.at), now);
  const from = Math.min(now - SHOWN_AT_LEAST, Math.max(begin, now - KEPT));
  const highest = Math.max(10, ...all.map((point) => point.ops ?? 0));
  const steps = Math.ceil(Math.log10(highest + 1));
  const [height, left, top, bottom, right] = [170, 44, 10, 24, 12];
  const x = (at) => left + ((width - left - right) * (at - from)) / (now - from);
  const y = (ops) => height - bottom - ((height - top - bottom) * Math.log10(ops + 1)) / steps;
  const short = (ops) => (ops >= 1e6 ? `${ops / 1e6}M` : ops >= 1000 ? `${ops / 1000}k` : `${ops}`);
  const label = (value) => h("text", { class: "tick", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, short(value));
  const grid = [0, ...Array.from({ length: steps }, (_, step) => 10 ** (step + 1) )].filter((value) => y(value) >= top - 1);
  const drawn = [h("g", { class: "grid" }, grid.map((value) => [h("line", { x1: left, x2: width - right, y1: y(value), y2: y(value) }), label(value)]))];
  const times = [from, (from + now) / 2, now];
  drawn.push(h("g", {}, times.map((at, place) => h("text", {
    class: "tick", x: x(at), y: height - 6, "text-anchor": ["start", "middle", "end"][place],
  }, at === now ? "now" : `${span(now - at).replace(/\.\d/, "")} ago`))));
  lines.forEach((line, index) => {
    const parts = [];
    let unknownFrom = null;
    let last = null;
    const unknownUntil = (at) => {
      if (unknownFrom !== null) {
        const wide = Math.max(2, x(at) - x(unknownFrom));
        drawn.push(h("rect", { class: "unknown", x: x(unknownFrom), y: top + 18 * index, width: wide, height: 15, rx: 3 }));
        if (wide > 9 * (line.member.length + 8)) drawn.push(h("text", { class: "unknown-name", x: x(unknownFrom) + 6, y: top + 18 * index + 11 }, `${line.member} unknown`));
      }
      unknownFrom = null;
    };
    for (const point of line.points) {
      if (point.at < from) continue;
      const joined = last && point.at - last.at < APART;
      if (!joined && last) unknownUntil(last.at);
      if (point.ops === null) {
        unknownFrom ??= point.at;
      } else {
        unknownUntil(point.at);
        parts.push(`${joined && last.ops !== null ? "L" : "M"}${x(point.at).toFixed(1)} ${y(point.ops).toFixed(1)}`);
      }
      last = point;
    }
    if (last) unknownUntil(last.at);
    drawn.push(h("path", { class: `line line-${index % 4}`, d: parts.join("") || "M0 0" }));
    if (last && last.ops !== null) drawn.push(h("circle", { class: `end line-${index % 4}`, cx: x(last.at), cy: y(last.ops), r: 3.5 }));
  });
  const worst = (line) => line.points.reduce((most, point) => (point.ops === null ? most : Math.max(most ?? 0, point.ops)), null);
  const said = lines.map((line) => `${line.member}: now ${operations(line.ops)}, at most ${operations(worst(line))}`).join("; ");
  return section(
    h("svg", { class: "plot", role: "img", viewBox: `0 0 ${width} ${height}`, "aria-label": `Lag in the last ${span(now - from)}. ${said}` }, drawn),
    h("ul", { class: "legend" }, lines.map((line, index) => h("li", {},
      h("svg", { class: "swatch", viewBox: "0 0 22 8", "aria-hidden": "true" }, h("line", { class: `line line-${index % 4}`, x1: 1, x2: 21, y1: 4, y2: 4 })),
      h("span", {}, line.member), h("strong", { class: line.ops === null ? "attention" : "" }, line.ops === null ? "unknown" : number(line.ops)),
      h("span", { class: "muted" }, worst(line) === null ? "not known since this page was opened" : `at most ${number(worst(line))}`)))));
}

const PARTS = ["detect", "fence", "replay", "repoint"];

function switches(pair) {
  const heading = h("h3", {}, "Last switches");
  if (pair.switches.length === 0) return h("section", { class: "switches" }, heading, h("p", { class: "muted" }, "There was none yet."));
  const total = (one) => one.parts.reduce((sum, part) => sum + part.seconds, 0);
  const longest = Math.max(0.1, ...pair.switches.map(total));
  const row = (one) => {
    let x = 0;
    const bars = one.parts.filter((part) => part.seconds > 0).map((part) => {
      const width = Math.max(0.6, (100 * part.seconds) / longest);
      const bar = h("rect", { class: `part ${part.name}`, x, y: 0, width: Math.max(0.3, width - 0.3), height: 10 });
      x += width;
      return bar;
    });
    const parts = one.parts.map((part) => `${part.name} ${part.seconds.toFixed(1)} s`).join(", ");
    return h("li", {},
      h("div", { class: "what" },
        h("p", { class: "title" }, `${one.kind} ${one.route}`, h("span", { class: "muted" }, ` epoch ${one.epoch}`)),
        h("p", { class: "muted small" }, h("time", { datetime: one.finishedAt, title: one.finishedAt }, one.ago), " · ", toned(one.outcome), ", ", toned(one.lost))),
      h("div", { class: "took" },
        h("div", { class: "bars" }, h("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, bars),
          h("span", { class: "figure" }, `${total(one).toFixed(1)} s`)),
        h("p", { class: "muted small" }, parts)),
      one.why ? h("p", { class: "why muted small" }, `Because: ${one.why}`) : null);
  };
  return h("section", { class: "switches" }, heading,
    h("ul", { class: "legend", "aria-hidden": "true" }, PARTS.map((part) => h("li", {},
      h("svg", { class: "swatch", viewBox: "0 0 22 8" }, h("rect", { class: `part ${part}`, x: 5, y: 0, width: 12, height: 8 })), h("span", {}, part)))),
    h("ol", {}, pair.switches.map(row)));
}

function gaps(pair) {
  if (pair.gaps.length === 0) return null;
  return h("section", { class: "gaps" }, h("h3", {}, "Gaps waiting"), h("ul", {}, pair.gaps.map((gap) =>
    h("li", {}, h("p", {}, h("strong", {}, gap.name), ": ", gap.text), command(gap.command)))));
}

function switchNow(pair) {
  if (!pair.switchNow && pair.blockers.length === 0) return null;
  return h("section", { class: "now" }, h("h3", {}, "A switch now"), pair.switchNow
    ? h("p", {}, h("span", { class: "good" }, "would go to "), h("strong", {}, pair.switchNow), ", without a loss")
    : [h("p", { class: "attention" }, "is blocked:"), h("ul", {}, pair.blockers.map((blocker) => h("li", {}, sentence(blocker))))]);
}

function facts(pair) {
  return h("dl", { class: "facts" }, pair.facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, toned(value)))));
}

function identify(pair) {
  return `pair-${pair.namespace}-${pair.name}`;
}

function card(pair, many) {
  const id = identify(pair);
  const open = state.open.get(id) ?? (!many || pair.urgency !== "good");
  const toggle = () => { state.open.set(id, !open); draw(); };
  const shown = document.getElementById(`${id}-lag`);
  const width = Math.max(240, shown?.clientWidth || Math.min(560, document.documentElement.clientWidth - 64));
  return h("article", { id, class: `pair ${pair.urgency}`, "aria-labelledby": `${id}-name` },
    h("header", {},
      h("h2", { id: `${id}-name` }, h("button", { type: "button", "aria-expanded": String(open), "aria-controls": `${id}-body`, on: toggle },
        h("span", { class: "name" }, pair.name), h("span", { class: "muted namespace" }, " in ", pair.namespace))),
      h("p", { class: "gist" }, badge(pair.phase), h("span", { class: "muted" }, `epoch ${pair.epoch}`),
        pair.active ? h("span", {}, h("span", { class: "muted" }, "active "), h("strong", {}, pair.active)) : null,
        pair.lag && !open ? h("span", {}, h("span", { class: "muted" }, "lag "), pair.lag) : null),
      pair.summary ? h("p", { class: "summary" }, sentence(pair.summary)) : null),
    h("div", { id: `${id}-body`, class: "body", hidden: !open }, open ? [
      problems(pair), underWay(pair), gaps(pair), facts(pair),
      h("div", { class: "columns" }, members(pair, id), plot(pair, id, width)),
      switches(pair),
      h("div", { class: "columns" }, switchNow(pair), h("section", { class: "more" }, h("h3", {}, "In a terminal"), pair.commands.map(command))),
    ] : null));
}

// --- the page

function overview(view) {
  const count = { bad: 0, attention: 0, good: 0 };
  for (const pair of view.pairs) count[pair.urgency] += 1;
  const tile = (urgency, text) => h("li", { class: `tile ${urgency} ${count[urgency] ? "some" : "none"}` }, h("strong", {}, count[urgency]), h("span", {}, text));
  const wanting = view.pairs.filter((pair) => pair.urgency !== "good");
  return [
    h("ul", { class: "tiles" }, tile("bad", count.bad === 1 ? "needs somebody" : "need somebody"), tile("attention", "worth a look"), tile("good", "as it should be")),
    wanting.length === 0 ? null : h("nav", { "aria-label": "Problems first" }, h("ul", { class: "jump" }, wanting.map((pair) =>
      h("li", {}, h("a", { class: pair.urgency, href: `#${identify(pair)}-name` }, h("span", { class: "unseen" }, `${WORD[pair.urgency]}: `),
        h("strong", {}, pair.name), ` ${pair.problems[0]?.title ?? pair.phase.text}`))))),
  ];
}

const FIRST_PAIR = `kubectl create namespace kudu
kubectl apply --namespace kudu -f - <<'END'
apiVersion: kudupair.io/v1alpha1
kind: KuduMasterPair
metadata:
  name: demo
END`;

function empty() {
  return h("section", { class: "pair empty" }, h("h2", {}, "No pair yet"),
    h("p", {}, "This controller sees no KuduMasterPair in the namespaces that it looks after. Make the first one:"), command(FIRST_PAIR));
}

function banners(view) {
  const list = (view?.warnings ?? []).map((text) => h("p", { class: "banner bad" }, text));
  if (state.failed) {
    const old = view ? ` What is below is ${span(Date.now() - state.at)} old, from ${new Date(state.at).toLocaleTimeString()}.` : "";
    list.unshift(h("p", { class: "banner bad", id: "lost" }, h("strong", {}, "The connection to the controller is lost."),
      `${old} Trying again every second. If kubectl port-forward has ended, start it again.`));
  }
  return list;
}

function draw() {
  const { view, failed } = state;
  document.body.classList.toggle("lost", Boolean(failed) && Boolean(view));
  show(document.getElementById("banners"), banners(view));
  const connection = document.getElementById("connection");
  connection.className = `connection ${failed ? "bad" : view ? "good" : ""}`;
  show(connection, [document.createTextNode(failed ? (view ? `lost, ${span(Date.now() - state.at)} old` : "no connection") : view ? "live" : "connecting")]);
  if (!view) return;
  show(document.getElementById("overview"), view.pairs.length === 0 ? [] : overview(view));
  const many = view.pairs.length > OPEN_AT_MOST;
  show(document.getElementById("pairs"), view.pairs.length === 0 ? [empty()] : view.pairs.map((pair) => card(pair, many)));
  show(document.getElementById("foot"), [h("p", {}, `Served by ${view.identity}, kudu-pair ${view.version}. `,
    view.leads ? "It leads: numbers are as it heard them within the last second." : "It does not lead: numbers are as the leader wrote them, every 10 s or so.",
    " This page changes nothing.")]);
}

// What is new is told once, not every second.
function tell(view) {
  const now = new Map(view.pairs.flatMap((pair) => pair.problems.map((problem) => [`${pair.namespace}/${pair.name}/${problem.title}`, `${pair.name}: ${problem.title}`])));
  if (state.problems) {
    const begun = [...now].filter(([key]) => !state.problems.has(key)).map(([, text]) => text);
    const over = [...state.problems].filter(([key]) => !now.has(key)).map(([, text]) => `${text}, over`);
    if (begun.length + over.length > 0) document.getElementById("news").textContent = [...begun, ...over].join(". ");
  }
  state.problems = now;
}

async function look() {
  try {
    const response = await fetch("pairs.json", { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
    if (!response.ok) throw new Error(`answered ${response.status}`);
    state.view = await response.json();
    state.at = Date.now();
    if (state.failed) document.getElementById("news").textContent = "The controller answers again.";
    state.failed = null;
    remember(state.view, state.at);
    tell(state.view);
  } catch (error) {
    if (!state.failed) document.getElementById("news").textContent = "The connection to the controller is lost.";
    state.failed = error;
  }
  draw();
  setTimeout(look, EVERY);
}

look();
