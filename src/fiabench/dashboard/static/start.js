// Views and filters: what the URL says is shown, and what is chosen goes into the URL.
"use strict";
(async () => {
  const { make, state, link, go, select, passes, load, FIELDS } = fiabench;
  const index = await load("data/index");
  index.cases.forEach((one) => {
    one.machineNumber = one.machine;
    one.machine = index.machines[one.machine].name;
  });
  const LABELS = { seq: "sequence length", shard: "head shard", dtype: "dtype", op: "operator", machine: "machine" };
  const VIEWS = [...document.querySelectorAll("nav a[data-view]")].map((one) => one.dataset.view);
  const FIRST = ["changes", "heat"]; // these two are one view, the first
  document.documentElement.classList.add("scripted");

  function view() {
    const asked = state().get("view");
    return asked === "case" || VIEWS.includes(asked) ? asked : "changes";
  }

  function filters() {
    const form = document.getElementById("filters");
    const now = state();
    const had = form.contains(document.activeElement) ? document.activeElement.id : "";
    const made = FIELDS.map((name) => {
      const values = [...new Set(index.cases.map((one) => one[name]))].sort((a, b) => (a > b ? 1 : -1));
      if (values.length < 2 && !now.get(name)) return null;
      const options = [["", "all"], ...values.map((value) => [value, typeof value === "number" ? value.toLocaleString("en") : value])];
      return select(name, LABELS[name], options, now.get(name) || "", (value) => go({ [name]: value }));
    });
    const any = FIELDS.some((name) => now.get(name));
    const clear = any ? make("button", { type: "button", id: "clear", on: { click: () => go(Object.fromEntries(FIELDS.map((name) => [name, ""]))) } }, "all cases") : null;
    const count = index.cases.filter(passes).length;
    form.replaceChildren(...[...made, clear, make("output", {}, any ? `${count} of ${index.cases.length} cases` : "")].filter(Boolean));
    form.hidden = !made.some(Boolean);
    if (had) (document.getElementById(had) || document.getElementById("choose-seq"))?.focus();
  }

  // Rows and groups that the server wrote are hidden where no case of theirs passes.
  function hide() {
    for (const one of document.querySelectorAll("[data-seq]")) one.hidden = !passes(one.dataset);
    let shown = 0;
    for (const group of document.querySelectorAll("article.group")) {
      group.hidden = !group.querySelector("tr[data-seq]:not([hidden])");
      shown += group.hidden ? 0 : 1;
    }
    const none = document.getElementById("changes-none");
    if (none) none.hidden = shown > 0 || !document.querySelector("article.group");
  }

  function links() {
    for (const one of document.querySelectorAll("a[data-case]")) one.href = link({ view: "case", case: one.dataset.case, at: "", against: "" });
    for (const one of document.querySelectorAll("a[data-view]")) one.href = link({ view: one.dataset.view === "changes" ? "" : one.dataset.view, case: "", at: "", against: "", phase: "" });
  }

  async function show(moved) {
    const now = view();
    for (const section of document.querySelectorAll("main > section")) {
      section.hidden = section.id !== now && !(now === "changes" && FIRST.includes(section.id));
    }
    for (const one of document.querySelectorAll("nav a[data-view]")) {
      if (one.dataset.view === (now === "case" ? "history" : now)) one.setAttribute("aria-current", "page");
      else one.removeAttribute("aria-current");
    }
    filters();
    hide();
    if (now === "changes" || now === "heat") await fiabench.heat.draw(index);
    if (now === "history") fiabench.history.overview(index);
    if (now === "case") await fiabench.case.draw(index);
    links();
    if (moved) document.getElementById("main").focus({ preventScroll: true });
    document.body.dataset.ready = String(Number(document.body.dataset.ready || 0) + 1); // for those who wait for a view
  }

  let shown = view() + state().get("case");
  const update = () => {
    const next = view() + state().get("case");
    const moved = next !== shown;
    shown = next;
    if (moved) scrollTo(0, 0);
    return show(moved);
  };
  document.addEventListener("click", (event) => {
    const to = event.target.closest?.("a[href^='#']");
    if (!to || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (to.classList.contains("skip")) {
      document.getElementById("main").focus();
      return;
    }
    history.pushState(null, "", to.getAttribute("href"));
    update();
  });
  window.addEventListener("popstate", update);
  window.addEventListener("hashchange", update);
  window.addEventListener("fiabench-state", update);
  document.querySelectorAll("form").forEach((form) => form.addEventListener("submit", (event) => event.preventDefault()));
  await show(false);
})();
