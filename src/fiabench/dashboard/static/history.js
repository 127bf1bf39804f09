// A case over the commits: the median with its interval, change points, failures, and where the stack changed.
"use strict";
fiabench.history = (() => {
  const { make, human, relative, unpack, colour, go, load, select, metricOf } = fiabench;
  const FAILED = new Set(["failed", "wrong", "error", "out_of_memory", "timeout", "crash"]);

  const HEIGHT = 320;
  let shown = null;
  // What is drawn on a canvas does not follow the page's colours by itself.
  for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", () => shown?.redraw(false));

  // Draws into `holder` what the file of a case holds of a metric; `at` is the point that is open, `choose` is told which was picked.
  function draw(holder, index, found, metric, at, choose) {
    const declared = index.metrics[metric];
    const packed = found.metrics[metric];
    const value = Array.from(unpack(packed.v));
    const low = packed.l ? Array.from(unpack(packed.l)) : null;
    const high = packed.h ? Array.from(unpack(packed.h)) : null;
    const numbers = (from) => from.map((one) => (Number.isNaN(one) ? null : one));
    const places = value.map((_, place) => place);
    const there = value.filter((one) => !Number.isNaN(one));
    const events = found.events.filter((one) => one.metric === metric);
    const hint = make("p", { class: "hint" });
    const tell = (place) => sentence(index, found, declared, value, low, high, place);
    const say = (place) => { hint.textContent = place === null ? help : tell(place); };
    const help = "The ring is at the commit below. Drag to zoom, double click to zoom out; arrow keys step through the commits, Enter opens one.";
    const options = {
      width: Math.max(280, holder.clientWidth || 800), height: HEIGHT,
      legend: { show: false },
      scales: { x: { time: false, range: (_, from, to) => (from === to ? [from - 1, to + 1] : [from - 0.5, to + 0.5]) },
        y: { range: reach(there, low, high) } },
      cursor: { y: false, points: { size: 8 }, drag: { x: true, y: false } },
      axes: [
        { stroke: () => colour("ink"), grid: { stroke: () => colour("faint") }, ticks: { stroke: () => colour("faint") },
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], space: 90,
          values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) && found.at[tick] !== undefined
            ? index.commits[found.at[tick]][0].slice(0, 7) : "")) },
        { stroke: () => colour("ink"), grid: { stroke: () => colour("faint") }, ticks: { stroke: () => colour("faint") }, size: 84,
          values: (_, ticks) => ticks.map((tick) => human(tick, declared.unit)) },
      ],
      series: [
        {},
        { label: "high", stroke: "transparent", points: { show: false } },
        { label: "low", stroke: "transparent", points: { show: false } },
        { label: declared.label, stroke: () => colour("line"), width: 1.5,
          points: { show: value.length < 200, size: 5, fill: () => colour("line") } },
      ],
      bands: [{ series: [1, 2], fill: () => colour("band") }],
      hooks: {
        drawClear: [(chart) => marks(chart, found, events)],
        draw: [(chart) => failures(chart, found), (chart) => ring(chart, at, value[at])],
        setCursor: [(chart) => say(chart.cursor.idx ?? null)],
      },
    };
    const chart = new uPlot(options, [places, numbers(high || value), numbers(low || value), numbers(value)], holder);
    let focus;
    holder.tabIndex = 0;
    holder.setAttribute("role", "slider");
    holder.setAttribute("aria-label", `${declared.label} of ${found.label}, commit by commit; Enter opens one; the same numbers are in the table and the CSV`);
    holder.setAttribute("aria-valuemin", 1);
    holder.setAttribute("aria-valuemax", value.length);
    const point = (to) => {
      focus = to;
      holder.setAttribute("aria-valuenow", to + 1);
      holder.setAttribute("aria-valuetext", tell(to));
    };
    point(at);
    const step = (to) => {
      point(Math.min(value.length - 1, Math.max(0, to)));
      chart.setCursor({ left: chart.valToPos(focus, "x"), top: chart.bbox.height / 2 / devicePixelRatio });
      say(focus);
    };
    holder.onkeydown = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[event.key];
      if (by !== undefined) {
        event.preventDefault();
        step(focus + by);
      } else if (event.key === "Enter") choose(focus);
      else if (event.key === "Escape") chart.setScale("x", { min: 0, max: value.length - 1 });
    };
    chart.over.addEventListener("click", () => {
      if (chart.cursor.idx !== null && chart.cursor.idx !== undefined && chart.select.width < 3) choose(chart.cursor.idx);
    });
    new ResizeObserver(() => {
      if (holder.isConnected && holder.clientWidth > 0) chart.setSize({ width: holder.clientWidth, height: HEIGHT });
    }).observe(holder);
    say(null);
    holder.after(hint);
    shown = chart;
  }

  // From a little below the least to a little above the most: noise is not drawn as large as a change.
  function reach(there, low, high) {
    const ends = [...there, ...(low || []), ...(high || [])].filter((one) => Math.abs(one) < Infinity);
    const least = Math.min(...ends), most = Math.max(...ends);
    if (!ends.length) return [0, 1];
    const room = Math.max((most - least) * 0.12, Math.abs(most) * 0.02) || 1;
    return [Math.max(least >= 0 ? 0 : -Infinity, least - room), most + room];
  }

  function marks(chart, found, events) {
    const { bbox } = chart;
    const ctx = within(chart);
    const at = (place) => Math.round(chart.valToPos(place - 0.5, "x", true));
    const line = (place, name, dash, text) => {
      ctx.strokeStyle = ctx.fillStyle = colour(name);
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.setLineDash(dash.map((one) => one * devicePixelRatio));
      ctx.beginPath();
      ctx.moveTo(at(place), bbox.top);
      ctx.lineTo(at(place), bbox.top + bbox.height);
      ctx.stroke();
      ctx.font = `${11 * devicePixelRatio}px sans-serif`;
      ctx.fillText(text, at(place) + 4 * devicePixelRatio, bbox.top + (name === "stack" ? 24 : 11) * devicePixelRatio);
    };
    for (const [place, changes] of found.stack) line(place, "stack", [2, 4], changes.map(([fact]) => fact).join(", ").slice(0, 40));
    for (const one of events) {
      line(one.at, one.change > 0 ? "worse" : "better", [6, 3], relative(one.change));
    }
    ctx.restore();
  }

  // Where a commit without a value has its sign.
  const bottom = ({ bbox }) => bbox.top + bbox.height - 8 * devicePixelRatio;

  function ring(chart, place, value) {
    const ctx = within(chart);
    ctx.strokeStyle = colour("ink");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.beginPath();
    ctx.arc(chart.valToPos(place, "x", true), Number.isNaN(value) ? bottom(chart) : chart.valToPos(value, "y", true), 7 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.stroke();
    ctx.restore();
  }

  // What is drawn on, until it is restored, within the axes.
  function within({ ctx, bbox }) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    return ctx;
  }

  // A cross at the bottom for each commit that failed.
  function failures(chart, found) {
    const ctx = within(chart);
    const size = 4 * devicePixelRatio;
    ctx.strokeStyle = colour("failed");
    ctx.lineWidth = 2 * devicePixelRatio;
    found.status.forEach((status, place) => {
      if (!FAILED.has(status)) return;
      const x = chart.valToPos(place, "x", true), y = bottom(chart);
      ctx.beginPath();
      ctx.moveTo(x - size, y - size); ctx.lineTo(x + size, y + size);
      ctx.moveTo(x - size, y + size); ctx.lineTo(x + size, y - size);
      ctx.stroke();
    });
    ctx.restore();
  }

  function sentence(index, found, declared, value, low, high, place) {
    const [, date, subject, called] = index.commits[found.at[place]];
    const said = [`${called} ${date} ${subject}:`];
    if (Number.isNaN(value[place])) said.push(`${found.status[place].replaceAll("_", " ")}${found.reasons[place] ? ": " + found.reasons[place] : ""}`);
    else {
      said.push(`${declared.label} ${human(value[place], declared.unit)}`);
      if (high && high[place] > low[place]) said.push(`(${human(low[place], declared.unit)} to ${human(high[place], declared.unit)})`);
      if (found.status[place] !== "ok") said.push(found.status[place]);
    }
    for (const [at, changes] of found.stack) if (at === place) said.push("· stack: " + changes.map(([fact, old, now]) => `${fact} ${old} -> ${now}`).join(", "));
    for (const one of found.events) if (one.at === place && one.metric) said.push(`· ${one.state}: ${index.metrics[one.metric].label} ${relative(one.change)}`);
    for (const flag of found.flags[place] || []) said.push("· doubtful: " + flag);
    return said.join(" ");
  }

  const NS = "http://www.w3.org/2000/svg";
  const WIDE = 200, HIGH = 30;
  let watcher = null;

  // The list of all cases, each with a small line of its own scale; a case's file is loaded when it comes into sight.
  function overview(index) {
    const metric = metricOf(index);
    const there = Object.keys(index.metrics).filter((name) => index.cases.some((one) => Object.hasOwn(one.values, name)));
    const form = document.getElementById("history-controls");
    const had = form.contains(document.activeElement);
    form.replaceChildren(select("history-metric", "metric", there.map((name) => [name, index.metrics[name].label]), metric, (value) => go({ metric: value })));
    form.hidden = false;
    if (had) form.querySelector("select").focus();
    watcher?.disconnect();
    watcher = new IntersectionObserver(async (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        const found = await load("cases/" + target.querySelector("a[data-case]").dataset.case);
        if (target.dataset.drawn !== metric) {
          target.dataset.drawn = metric;
          target.querySelector("svg")?.remove();
          if (found?.metrics[metric]) target.append(spark(index, found, metric));
        }
      }
    }, { rootMargin: "200px" });
    for (const one of document.querySelectorAll("#history .cases li")) watcher.observe(one);
  }

  function spark(index, found, metric) {
    const values = unpack(found.metrics[metric].v);
    const there = values.filter((one) => !Number.isNaN(one));
    const low = there.reduce((a, b) => Math.min(a, b), Infinity);
    const high = Math.max(there.reduce((a, b) => Math.max(a, b), -Infinity), low * 1.1); // noise does not fill the height
    const x = (place) => (2 + (WIDE - 4) * (values.length > 1 ? place / (values.length - 1) : 0.5)).toFixed(1);
    const y = (value) => (HIGH - 3 - (HIGH - 6) * (high > low ? (value - low) / (high - low) : 0.5)).toFixed(1);
    let path = "", open = false;
    values.forEach((value, place) => {
      if (Number.isNaN(value)) open = false;
      else {
        path += `${open ? "L" : "M"}${x(place)} ${y(value)}${open ? "" : "h0"}`;
        open = true;
      }
    });
    const piece = (name, attributes) => {
      const element = document.createElementNS(NS, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const unit = index.metrics[metric].unit;
    const picture = piece("svg", { class: "spark", viewBox: `0 0 ${WIDE} ${HIGH}`, width: WIDE, height: HIGH, role: "img",
      "aria-label": there.length ? `from ${human(low, unit)} to ${human(there.reduce((a, b) => Math.max(a, b), -Infinity), unit)}` : "not measured" });
    for (const one of found.events) {
      if (one.metric === metric) picture.append(piece("line", { class: one.change > 0 ? "up" : "down", x1: x(one.at - 0.5), x2: x(one.at - 0.5), y1: 0, y2: HIGH }));
    }
    picture.append(piece("path", { class: "median", d: path }));
    found.status.forEach((status, place) => {
      if (FAILED.has(status)) picture.append(piece("path", { class: "cross", d: `M${x(place)} ${HIGH - 5}m-2 -2l4 4m0 -4l-4 4` }));
    });
    return picture;
  }

  return { draw, overview };
})();
