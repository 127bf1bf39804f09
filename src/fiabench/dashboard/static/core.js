// What every view needs: data that arrives as scripts, the state in the URL, numbers for people, elements.
"use strict";
const fiabench = (() => {
  const waiting = new Map(); // key -> {promise, resolve}
  const root = "";

  // Scripts under cases/, samples/ and data/ call this with what they hold.
  function take(key, content) {
    entry(key).asked = true;
    entry(key).resolve(plain(content));
  }

  // What HTML does not have, and what turns the direction of the text around it: as in markup.py, so that both show the same.
  const CONTROL = /[\0-\x08\v\f\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu;

  function plain(content) {
    if (typeof content === "string") return content.replace(CONTROL, "\ufffd");
    if (Array.isArray(content)) return content.map(plain);
    if (typeof content !== "object" || content === null) return content;
    return Object.fromEntries(Object.entries(content).map(([name, value]) => [plain(name), plain(value)]));
  }

  function entry(key) {
    if (!waiting.has(key)) {
      const made = {};
      made.promise = new Promise((resolve) => { made.resolve = resolve; });
      waiting.set(key, made);
    }
    return waiting.get(key);
  }

  // Loads a file by adding a script element: a page opened from file:// may not fetch. Resolves to null where it is gone.
  function load(key) {
    const there = entry(key);
    if (!there.asked) {
      there.asked = true;
      const script = document.createElement("script");
      script.src = root + key + ".js";
      script.onerror = () => there.resolve(null);
      document.head.append(script);
    }
    return there.promise;
  }

  // The state lies in the fragment, as k=v pairs: it is kept by bookmarks, links and reloading, on file:// too.
  function state() {
    const text = location.hash.slice(1);
    const found = new Map();
    if (text && !text.includes("=")) found.set("view", text);
    else for (const [name, value] of new URLSearchParams(text)) found.set(name, value);
    return found;
  }

  function link(changes) {
    const next = new URLSearchParams([...state()].filter(([, value]) => value));
    for (const [name, value] of Object.entries(changes)) {
      if (value === "" || value === null || value === undefined) next.delete(name);
      else next.set(name, value);
    }
    return "#" + next.toString();
  }

  function go(changes, replace = false) {
    const hash = link(changes);
    if (hash === location.hash) return;
    if (replace) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
    window.dispatchEvent(new Event("fiabench-state"));
  }

  // Little-endian float32 in base64.
  function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  // The same without the last byte of each number.
  function unpackShort(text) {
    const short = atob(text);
    const bytes = new Uint8Array(short.length / 3 * 4);
    for (let from = 0, to = 0; from < short.length; from += 1) {
      if (to % 4 === 0) to += 1;
      bytes[to++] = short.charCodeAt(from);
    }
    return new Float32Array(bytes.buffer);
  }

  // An element with properties and children; text never becomes markup.
  function make(name, properties = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "class") element.className = value;
      else if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
      else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const DURATIONS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]];
  const SIZES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];
  const RATES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];

  function digits(value) {
    const size = Math.abs(value);
    if (size >= 99.95) return Math.round(value).toLocaleString("en");
    return value.toFixed(size >= 9.995 ? 1 : 2);
  }

  function scaled(value, scales) {
    return scales.find(([scale]) => Math.abs(value) >= scale * 0.9995) || scales[scales.length - 1];
  }

  function percent(value) {
    const places = Math.abs(100 * value) < 9.95 ? 1 : 0;
    const shown = Number((100 * value).toFixed(places)) + 0; // no -0
    return shown.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places }) + " %";
  }

  function relative(value) {
    const text = percent(value);
    return (text.startsWith("-") ? "" : "+") + text;
  }

  // A value in its unit as people read it; NaN is nothing.
  function human(value, unit) {
    if (!(Math.abs(value) < Infinity)) return "–";
    if (value === 0) return "0";
    if (unit === "ratio") return percent(value);
    const [scale, name] = scaled(value, unit === "s" ? DURATIONS : unit === "B" ? SIZES : RATES);
    if (unit === "B" && scale === 1) return `${value.toFixed(0)} B`;
    return `${digits(value / scale)} ${unit === "s" || unit === "B" ? name : name + unit}`;
  }

  function save(name, rows) {
    const cell = (value) => {
      let text = String(value ?? "");
      if (typeof value === "string" && /^[=+\-@]/.test(text)) text = "'" + text; // no formula for a spreadsheet
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const blob = new Blob([rows.map((row) => row.map(cell).join(",")).join("\n") + "\n"], { type: "text/csv" });
    const address = URL.createObjectURL(blob);
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function select(name, label, options, chosen, change) {
    const box = make("select", { name, id: "choose-" + name, on: { change: () => change(box.value) } },
      ...options.map(([value, text]) => make("option", { value, selected: String(value) === String(chosen) }, text)));
    return make("label", { for: "choose-" + name }, label + " ", box);
  }

  // The metric that the URL names, of those that the index declares.
  function metricOf(index) {
    const wanted = state().get("metric");
    return Object.hasOwn(index.metrics, wanted) ? wanted : "total";
  }

  const FIELDS = ["seq", "shard", "dtype", "op", "machine"];

  // Whether a case of the index, or the data of a row, passes the filters of the URL.
  function passes(values) {
    const now = state();
    return FIELDS.every((name) => !now.get(name) || String(values[name]) === now.get(name));
  }

  return { take, load, state, link, go, unpack, unpackShort, make, human, percent, relative, save, colour, select, metricOf, passes, FIELDS };
})();
window.fiabench = fiabench;
