// The heat map: sequence length by head shard, for any metric, or as the change against a commit.
"use strict";
fiabench.heat = (() => {
  const { make, human, relative, state, link, go, load, unpack, select, metricOf, passes, save } = fiabench;
  const SHADES = 7;
  let index;

  // The values of one metric at a commit for the cases of a machine, by the cases' keys in the files of the runs.
  async function at(machine, commit, metric) {
    const found = new Map();
    for (const key of (index.runs[machine] || {})[commit] || []) {
      const run = await load(`samples/${key}/values`);
      if (!run) continue;
      const place = run.metrics.indexOf(metric);
      const values = unpack(run.values);
      run.cases.forEach((name, number) => {
        found.set(name, place < 0 ? NaN : values[place * run.cases.length + number]);
      });
    }
    return found;
  }

  async function draw(given) {
    index = given;
    const now = state();
    const metric = metricOf(index);
    const declared = index.metrics[metric];
    const base = commitOf(now.get("base"));
    controls(metric, base);
    const values = new Map();
    for (const one of index.cases.filter(passes)) {
      values.set(one, one.values[metric] ?? NaN);
    }
    const told = base < 0
      ? `${declared.label} at the newest commit: sequence length by head shard (${declared.about}).`
      : `${declared.label}: change from ${name(base)} to the newest commit (${declared.about}).`;
    if (base >= 0) {
      const machines = [...new Set([...values.keys()].map((one) => one.machineNumber))];
      const before = new Map();
      for (const machine of machines) before.set(machine, await at(machine, base, metric));
      for (const [one, value] of values) values.set(one, value / (before.get(one.machineNumber).get(one.case) ?? NaN) - 1);
    }
    document.getElementById("heat-said").textContent = told;
    const groups = new Map();
    for (const one of values.keys()) {
      const title = `${one.variant} on ${one.machine}`;
      if (!groups.has(title)) groups.set(title, []);
      groups.get(title).push(one);
    }
    const tables = [...groups].map(([title, cases]) => table(title, cases, values, declared, base >= 0));
    const holder = document.getElementById("heat-tables");
    const rows = [...values].map(([one, value]) => [one.machine, one.label, one.seq, one.shard, one.dtype, one.op, metric, Number.isNaN(value) ? "" : value, one.marks]);
    const what = base < 0 ? `value [${declared.unit}]` : `change against ${index.commits[base][0]}`;
    const download = make("button", { type: "button", on: { click: () => save("heat.csv", [["machine", "case", "length", "shard", "dtype", "operator", "metric", what, "marks"], ...rows]) } }, "CSV: this heat map");
    holder.replaceChildren(...(tables.length ? tables : [make("p", {}, "No case passes the filters.")]), key(base >= 0, declared), make("p", { class: "csv" }, download));
  }

  function commitOf(named) {
    return named ? index.commits.findIndex(([, , , called]) => called === named) : -1;
  }

  function name(place) {
    const [, , subject, called] = index.commits[place];
    return `${called} ${subject}`;
  }

  function controls(metric, base) {
    const form = document.getElementById("heat-controls");
    const there = Object.keys(index.metrics).filter((one) => index.cases.some((found) => one in found.values));
    const metrics = there.map((one) => [one, index.metrics[one].label]);
    const commits = index.commits.map(([, , , called], place) => [called, name(place).slice(0, 70)]).reverse();
    const chosen = base < 0 ? "" : index.commits[base][3];
    const had = form.contains(document.activeElement) ? document.activeElement.id : "";
    form.replaceChildren(
      select("metric", "metric", metrics, metric, (value) => go({ metric: value })),
      select("base", "change against", [["", "(the values)"], ...commits], chosen, (value) => go({ base: value })));
    form.hidden = false;
    if (had) document.getElementById(had)?.focus();
  }

  function table(title, cases, values, declared, compared) {
    const lengths = [...new Set(cases.map((one) => one.seq))].sort((a, b) => a - b);
    const shards = [...new Set(cases.map((one) => one.shard))];
    const shade = compared ? diverging(cases, values, declared) : sequential(cases, values);
    const rows = lengths.map((length) => make("tr", {},
      make("th", { scope: "row" }, length.toLocaleString("en")),
      ...shards.map((shard) => {
        const here = cases.filter((one) => one.seq === length && one.shard === shard);
        if (!here.length) return make("td", { class: "none" });
        return make("td", { class: shade(values.get(here[0])) }, ...here.map((one) => cell(one, values.get(one), declared, compared)));
      })));
    const head = make("tr", {}, make("th", { scope: "col" }, "tokens"), ...shards.map((one) => make("th", { scope: "col" }, one)));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
      make("table", { class: "heat" }, make("caption", {}, title), make("thead", {}, head), make("tbody", { on: { keydown: walk } }, ...rows)));
  }

  function cell(one, value, declared, compared) {
    const measured = one.status === "ok" || one.status === "unsettled";
    const said = Number.isNaN(value) ? (measured ? "–" : one.status.replaceAll("_", " "))
      : (compared ? relative(value) : human(value, declared.unit)) + one.marks;
    return make("a", { href: link({ view: "case", case: one.key, at: "" }), "data-case": one.key,
      "aria-label": `${one.label}: ${said}` }, said);
  }

  // Within a table, on a logarithmic scale: the factor between the least and the most.
  function sequential(cases, values) {
    const there = cases.map((one) => values.get(one)).filter((value) => value > 0);
    const low = Math.log(Math.min(...there)), high = Math.log(Math.max(...there));
    return (value) => {
      if (!(value > 0)) return Number.isNaN(value) ? "none" : "q0";
      return "q" + Math.round((high > low ? (Math.log(value) - low) / (high - low) : 0) * (SHADES - 1));
    };
  }

  // From -20 % to +20 %, worse orange and better blue, which colour-blind readers tell apart.
  function diverging(cases, values, declared) {
    const sign = declared.better === "higher" ? -1 : 1;
    return (value) => {
      if (Number.isNaN(value)) return "none";
      const step = Math.min(3, Math.round(Math.abs(value) / 0.2 * 3 + (Math.abs(value) >= 0.02 ? 0.5 : 0)));
      return step === 0 ? "d0" : (value * sign > 0 ? "worse" : "better") + step;
    };
  }

  function key(compared, declared) {
    const patch = (shade, text) => make("li", {}, make("span", { class: "patch " + shade, "aria-hidden": "true" }), " " + text);
    if (compared) {
      return make("ul", { class: "key" }, patch("better3", "20 % better and more"), patch("better1", "better"),
        patch("d0", "within 2 %"), patch("worse1", "worse"), patch("worse3", "20 % worse and more"));
    }
    const word = declared.better === "higher" ? "most: best" : "most";
    return make("ul", { class: "key" }, patch("q0", "least of its table"), patch("q6", word));
  }

  // Arrow keys go from cell to cell, as in a spreadsheet.
  function walk(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    const here = event.target.closest("td");
    if (!step || !here) return;
    const rows = [...here.closest("tbody").rows];
    const row = rows[rows.indexOf(here.parentElement) + step[0]];
    const next = row?.cells[here.cellIndex + step[1]]?.querySelector("a");
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }

  return { draw, at };
})();
