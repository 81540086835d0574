// Comforts only: every page works without this file.
(() => {
  const $$ = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const isTyping = (element) => element.matches("input, select, textarea, [contenteditable]");

  // "/" goes to the filter, as in many lists; j and k walk through the rows.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "/") {
      const filter = document.querySelector("[data-filter]");
      if (filter) {
        event.preventDefault();
        filter.focus();
      }
    }
    if (event.key === "j" || event.key === "k") {
      const rows = $$("tbody tr a, tbody tr summary").filter((one, i, all) => all.findIndex((x) => x.closest("tr") === one.closest("tr")) === i);
      const now = rows.findIndex((one) => one.closest("tr").contains(document.activeElement));
      const next = rows[event.key === "j" ? now + 1 : now - 1];
      if (next) next.focus();
    }
  });

  // A select that filters sends its form when it changes.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-sends]")) event.target.form.requestSubmit();
  });

  // One open menu at a time; Escape and a click elsewhere close it.
  document.addEventListener("toggle", (event) => {
    if (!event.target.matches?.("details.menu[open]")) return;
    $$("details.menu[open]").filter((one) => one !== event.target).forEach((one) => one.removeAttribute("open"));
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    $$("details.menu[open]").forEach((one) => {
      one.removeAttribute("open");
      one.querySelector("summary").focus();
    });
  });

  document.addEventListener("click", (event) => {
    $$("details.menu[open]").filter((one) => !one.contains(event.target)).forEach((one) => one.removeAttribute("open"));
  });

  // Airflow shows these pages in a frame that may open no window and may not leave: its own window does it instead.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[target=_blank], a[target=_top]");
    if (!link || window.parent === window || event.button !== 0 || event.ctrlKey || event.metaKey) return;
    try {
      const twin = window.parent.document.createElement("a");
      twin.href = link.href;
      twin.target = link.target === "_top" ? "_self" : "_blank";
      twin.rel = "noopener noreferrer";
      event.preventDefault();
      twin.click();
    } catch {
      // Framed by a stranger, which the browser does not allow anyway.
    }
  });

  // <section data-from="path">: what is slow comes after the page. The section says something sensible without it.
  const fill = async (section) => {
    section.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(section.dataset.from, { headers: { "X-Requested-With": "fetch" } });
      if (answer.ok) section.innerHTML = await answer.text();
    } catch {
      // Offline: what the page said at first stays.
    } finally {
      section.removeAttribute("aria-busy");
    }
  };
  $$("[data-from]").forEach(fill);

  // <section id=... data-live="5">: read again every so many seconds while it is looked at and nothing in it is in use.
  const inUse = (section) =>
    document.hidden || section.contains(document.activeElement) || section.querySelector("details.menu[open], details.more[open]") !== null || window.getSelection()?.type === "Range";
  const refresh = async (section) => {
    const answer = await fetch(window.location.href, { headers: { "X-Requested-With": "fetch" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(section.id);
    if (!fresh || inUse(section)) return;
    const slow = $$("[data-from]", section);
    section.replaceChildren(...fresh.childNodes);
    $$("[data-from]", section).forEach((one, i) => slow[i] && one.replaceChildren(...slow[i].childNodes));
  };
  $$("[data-live]").forEach((section) => {
    const seconds = Number(section.dataset.live);
    const again = async () => {
      if (!inUse(section)) await refresh(section).catch(() => {});
      window.setTimeout(again, seconds * 1000);
    };
    if (seconds > 0) window.setTimeout(again, seconds * 1000);
  });
})();
