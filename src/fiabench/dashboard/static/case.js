// A case's page: its history, one commit's samples in order and as a distribution, and the difference to another.
"use strict";
fiabench.case = (() => {
  const { make, human, relative, state, link, go, load, unpack, unpackShort, select, save, colour } = fiabench;
  let drawn = 0;

  async function draw(index) {
    const turn = ++drawn;
    const body = document.getElementById("case-body");
    const key = state().get("case");
    const found = key && /^[0-9a-f]{16}$/.test(key) ? await load(`cases/${key}`) : null;
    if (turn !== drawn) return;
    if (!found) {
      body.replaceChildren(make("p", {}, key ? "There is no such case: it may have been renamed, or left the sweep." : "Choose a case: in the heat map, the changes or the histories."));
      return;
    }
    const metrics = Object.keys(index.metrics).filter((name) => found.metrics[name]);
    const wanted = state().get("metric");
    const metric = metrics.includes(wanted) ? wanted : metrics.includes("total") ? "total" : metrics[0];
    const at = placeOf(index, found, state().get("at"), found.at.length - 1);
    const against = placeOf(index, found, state().get("against"), -1);
    const had = body.contains(document.activeElement) ? document.activeElement.id : "";
    const names = found.at.map((place, number) => [index.commits[place][3], `${index.commits[place][3]} ${index.commits[place][2]}`.slice(0, 70) + (found.status[number] === "ok" ? "" : ` (${found.status[number]})`)]).reverse();
    const holder = make("div", { class: "chart", id: "case-history" });
    const parts = [
      make("h3", {}, `${found.label} on ${found.machine}`),
      make("p", { class: "id" }, make("code", {}, found.id)),
      ...found.ran.map((said) => make("p", { class: "ran" }, said)),
      make("form", { class: "controls", on: { submit: (event) => event.preventDefault() } },
        metric ? select("case-metric", "metric", metrics.map((name) => [name, index.metrics[name].label]), metric, (value) => go({ metric: value })) : null,
        select("at", "commit", names, index.commits[found.at[at]][3], (value) => go({ at: value })),
        select("against", "against", [["", "(none)"], ...names], against < 0 ? "" : index.commits[found.at[against]][3], (value) => go({ against: value }))),
      holder,
      make("p", { class: "csv" }, make("a", { href: `cases/${key}.csv`, download: true }, "CSV: every metric at every commit"), " · ", make("a", { href: `cases/${key}.html` }, "table of the last 100 commits")),
      make("ul", { class: "events" }, ...found.events.map((one) => event(index, found, one))),
      make("div", { id: "case-difference" }), make("div", { id: "case-samples" }),
    ].filter(Boolean);
    body.replaceChildren(...parts);
    if (metric) fiabench.history.draw(holder, index, found, metric, at, (place) => go({ at: index.commits[found.at[place]][3] }));
    else holder.replaceChildren(make("p", {}, "This case was measured at no commit."));
    if (had) document.getElementById(had)?.focus();
    if (against >= 0) document.getElementById("case-difference").replaceChildren(difference(index, found, metrics, against, at));
    await samples(index, found, at, against, turn);
  }

  function placeOf(index, found, named, otherwise) {
    const place = named ? found.at.findIndex((commit) => index.commits[commit][3] === named) : -1;
    return place < 0 ? otherwise : place;
  }

  function commit(index, found, place) {
    const [, date, subject, called] = index.commits[found.at[place]];
    return `${called} ${date} ${subject}`;
  }

  function event(index, found, one) {
    const what = one.metric ? `${index.metrics[one.metric].label} ${relative(one.change)} (score ${one.score})` : one.said;
    const until = one.until === null ? "" : `, until ${commit(index, found, one.until)}`;
    const whose = one.whose ? `; ${one.whose}` : "";
    return make("li", {}, make("strong", {}, one.state), `: ${what} at ${commit(index, found, one.at)}${one.or}${until}${whose}`);
  }

  function difference(index, found, metrics, before, after) {
    const rows = metrics.map((name) => {
      const packed = found.metrics[name], unit = index.metrics[name].unit;
      const of = (text, place) => (text ? unpack(text)[place] : NaN);
      const [old, now] = [of(packed.v, before), of(packed.v, after)];
      const [[oldLow, oldHigh], [nowLow, nowHigh]] = [before, after].map((place) => [of(packed.l, place), of(packed.h, place)]);
      const apart = nowLow > oldHigh || oldLow > nowHigh, overlap = nowLow <= oldHigh && oldLow <= nowHigh; // neither where one is NaN
      const said = apart ? "intervals apart" : overlap ? "intervals overlap" : "";
      return make("tr", {}, make("th", { scope: "row" }, index.metrics[name].label), make("td", {}, human(old, unit)),
        make("td", {}, human(now, unit)), make("td", {}, Number.isFinite(now / old) ? relative(now / old - 1) : "–"), make("td", {}, said));
    });
    const head = ["metric", found.at[before], found.at[after], "change", "intervals"].map((one) => make("th", { scope: "col" }, typeof one === "number" ? index.commits[one][3] : one));
    return make("div", { class: "scroll" }, make("table", {}, make("caption", {}, "Difference: two commits that were not measured in turns; history.py confirm measures them so"),
      make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
  }

  async function read(found, place) {
    if (found.run[place] < 0) return null;
    const chunk = await load(`samples/${found.runs[found.run[place]]}/${found.chunk[place]}`);
    return chunk ? chunk[found.place[place] % 100] || null : null;
  }

  async function samples(index, found, at, against, turn) {
    const sessions = await read(found, at);
    const others = against >= 0 ? await read(found, against) : null;
    if (turn !== drawn) return;
    const holder = document.getElementById("case-samples");
    const title = make("h3", {}, `At ${commit(index, found, at)}`);
    const status = found.status[at].replaceAll("_", " ") + (found.reasons[at] ? ": " + found.reasons[at] : "");
    const doubts = (found.flags[at] || []).map((flag) => make("li", {}, "doubtful: " + flag));
    holder.replaceChildren(title, make("p", {}, status), ...(doubts.length ? [make("ul", {}, ...doubts)] : []));
    if (!sessions || !sessions.some((one) => one.phases.length)) {
      holder.append(make("p", {}, "No samples: nothing was measured at this commit."));
      return;
    }
    const phases = sessions[0].phases.map(([name]) => name);
    const wanted = state().get("phase");
    const phase = phases.includes(wanted) ? wanted : phases.includes("end_to_end") ? "end_to_end" : phases[0];
    holder.append(make("form", { class: "controls", on: { submit: (event) => event.preventDefault() } },
      select("phase", "phase", phases.map((name) => [name, name.replaceAll("_", " ")]), phase, (value) => go({ phase: value }))));
    const series = rows(sessions, phase);
    const compared = others ? rows(others, phase) : [];
    const most = sessions[0].phases.find(([name]) => name === phase)[2];
    if (most) holder.append(make("p", {}, `The first ${series[0].values.length.toLocaleString("en")} of ${most.toLocaleString("en")} samples of a rank; the run directory has all.`));
    holder.append(make("div", { class: "pair" },
      make("figure", {}, make("figcaption", {}, "samples in the order taken" + (series.length > 1 ? "; those taken together side by side" : "")), scatter(series), ranksKey(series)),
      make("figure", {}, make("figcaption", {}, compared.length ? "distribution; dashed: the commit it is held against" : "distribution"), density(series, compared))));
    holder.append(make("p", { class: "csv" }, make("button", { type: "button", on: { click: () => save("samples.csv", [["phase", "session", "rank", "iteration", "seconds"],
      ...phases.flatMap((name) => rows(sessions, name).flatMap((one) => one.values.map((value, number) => [name, one.session, one.rank, number, Number(value.toPrecision(6))])))]) } }, "CSV: these samples")));
    holder.append(...about(sessions), list("Fingerprint: the box and its software", fingerprint(found, at)));
  }

  // What the commit was measured on: the first commit's stack with all that has changed until then.
  function fingerprint(found, at) {
    const facts = new Map(Object.entries(found.fingerprint));
    for (const [place, changes] of found.stack) {
      if (place <= at) for (const [fact, , now] of changes) facts.set(fact, now);
    }
    return Object.fromEntries([...facts].filter(([, value]) => value !== "none"));
  }

  // Each rank of each session: its values in seconds. A session has all its numbers in one row, phase by phase.
  function rows(sessions, phase) {
    return sessions.flatMap((one, session) => {
      one.numbers ??= unpackShort(one.v);
      let start = 0;
      for (const [name, counts] of one.phases) {
        const found = counts.map((count, rank) => ({ session, rank, values: Array.from(one.numbers.subarray(start, start += count)) }));
        if (name === phase) return found;
      }
      return [];
    });
  }

  const NS = "http://www.w3.org/2000/svg";
  function svg(name, properties, ...children) {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  const WIDTH = 460, HEIGHT = 220, LEFT = 64, BOTTOM = 24;

  function frame(low, high, label) {
    const y = (value) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 8) * (high > low ? (value - low) / (high - low) : 0.5);
    const lines = [0, 0.5, 1].map((part) => {
      const value = low + part * (high - low);
      const text = svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" });
      text.textContent = human(value, "s");
      return svg("g", { class: "axis" }, svg("line", { x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }), text);
    });
    return { y, picture: svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "plot", role: "img", "aria-label": label }, ...lines) };
  }

  function extent(series) {
    let low = Infinity, high = -Infinity;
    for (const one of series) for (const value of one.values) if (Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
    return [low, high];
  }

  // A sample has its width, in which each rank of each session has its place, so that none hides another.
  function scatter(series) {
    const [low, high] = extent(series);
    const count = Math.max(...series.map((one) => one.values.length));
    const ranks = ranksOf(series).length;
    const { y, picture } = frame(low, high, `${ranks} rank${ranks === 1 ? "" : "s"}, ${count} samples each, from ${human(low, "s")} to ${human(high, "s")}`);
    series.forEach((one, number) => {
      const x = (place) => LEFT + 4 + (WIDTH - LEFT - 8) * (place + (number + 0.5) / series.length) / count;
      const parts = one.values.map((value, place) => (Number.isFinite(value) ? `M${x(place).toFixed(1)} ${y(value).toFixed(1)}h0` : ""));
      picture.append(svg("path", { d: parts.join(""), class: `dots rank${one.rank % COLOURS}` }));
    });
    return picture;
  }

  const COLOURS = 8;
  const ranksOf = (series) => [...new Set(series.map((one) => one.rank))];

  // Which colour is which rank's, where there are several.
  function ranksKey(series) {
    const ranks = ranksOf(series);
    if (ranks.length < 2) return null;
    return make("ul", { class: "key" }, ...ranks.slice(0, COLOURS).map((first) => make("li", {},
      make("span", { class: `patch rank${first}`, "aria-hidden": "true" }), "rank " + ranks.filter((rank) => rank % COLOURS === first).join(", "))));
  }

  // Histograms side by side on one scale, as outlines.
  function density(series, compared) {
    const all = [...series, ...compared];
    const [low, high] = extent(all);
    const count = Math.max(...[series, compared].map((group) => group.reduce((sum, one) => sum + one.values.length, 0)));
    const bins = Math.min(60, Math.max(5, Math.round(2 * Math.cbrt(count)))); // Rice's rule
    const histogram = (group) => {
      const counts = new Array(bins).fill(0);
      let total = 0;
      for (const one of group) for (const value of one.values) if (Number.isFinite(value)) {
        counts[Math.min(bins - 1, Math.floor((high > low ? (value - low) / (high - low) : 0.5) * bins))] += 1;
        total += 1;
      }
      return counts.map((one) => one / Math.max(1, total));
    };
    const shown = [histogram(series), ...(compared.length ? [histogram(compared)] : [])];
    const most = Math.max(...shown.flat(), 1e-9);
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "plot", role: "img", "aria-label": `distribution from ${human(low, "s")} to ${human(high, "s")}` });
    const x = (bin) => 8 + (WIDTH - 16) * bin / bins, y = (part) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 8) * part / most;
    shown.forEach((parts, number) => {
      const path = [`M${x(0).toFixed(1)} ${y(0).toFixed(1)}`, ...parts.map((part, bin) => `V${y(part).toFixed(1)}H${x(bin + 1).toFixed(1)}`), `V${y(0).toFixed(1)}`].join("");
      picture.append(svg("path", { d: path, class: number ? "outline other" : "outline" }));
    });
    [[0, "start", low], [bins / 2, "middle", (low + high) / 2], [bins, "end", high]].forEach(([bin, anchor, value]) => {
      const text = svg("text", { x: x(bin), y: HEIGHT - 6, "text-anchor": anchor });
      text.textContent = human(value, "s");
      picture.append(text);
    });
    return picture;
  }

  // The check, how it was timed, the sensors: of the first session in full, of the others what differs in number.
  function about(sessions) {
    const [first] = sessions;
    const parts = [list("Check", first.check), list("How it was timed", first.timing)];
    const sensors = Object.entries(first.sensors || {}).filter(([name]) => name !== "samples").map(reading); // beside which sample each was read
    parts.push(make("details", { open: true }, make("summary", {}, "Clock, temperature, memory"), sensors.length ? make("ul", {}, ...sensors) : make("p", {}, "No sensor could be read on this box.")));
    if (sessions.length > 1) parts.push(make("p", {}, `${sessions.length} sessions; the details are of the first.`));
    return parts;
  }

  // What a sensor said of each rank, from the least to the most; its name ends with the unit.
  function reading([name, ranks]) {
    const [, what, suffix] = /^(.*?)(?:_(mhz|c|w|bytes))?$/s.exec(name);
    const told = suffix === "bytes" ? (value) => human(value, "B") : (value) => value.toFixed(0) + ({ mhz: " MHz", c: " °C", w: " W" }[suffix] || "");
    return make("li", {}, `${what.replaceAll("_", " ")}: ` + Object.entries(ranks).map(([rank, text]) => {
      const values = Array.from(unpack(text)).filter(Number.isFinite);
      const ends = [...new Set([Math.min(...values), Math.max(...values)].map(told))];
      return `rank ${rank} ${values.length ? ends.join(" to ") : "none"}`;
    }).join(", "));
  }

  function list(title, values) {
    const said = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value));
    const items = Object.entries(values).flatMap(([name, value]) => [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, said(value))]);
    return make("details", { open: true }, make("summary", {}, title), items.length ? make("dl", {}, ...items) : make("p", {}, "none"));
  }

  return { draw };
})();
