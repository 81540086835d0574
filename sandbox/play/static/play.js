// Keeps the two columns live and sends forms without leaving the page. Without it the page still works.
"use strict";

const PERIOD = 1000; // milliseconds between looks
const live = document.getElementById("live");
const news = document.getElementById("news");
let looking = false;

function lists(root) {
  return Object.fromEntries(
    [...root.querySelectorAll("[data-list]")].map((list) => [list.dataset.list, list]),
  );
}

function reachable(card) {
  return [...card.querySelectorAll("summary, button, input, select, textarea")];
}

// Puts a new card in the place of the old one and returns the card that is then on the page. Forms
// that somebody is filling in stay as they are, and so does the keyboard's place.
function replace(old, fresh) {
  const forms = old.querySelector(".forms");
  if (forms.querySelector("details[open]")) {
    const parts = [...fresh.children];
    const middle = parts.findIndex((part) => part.className === "forms");
    for (const part of [...old.children]) if (part !== forms) part.remove();
    forms.before(...parts.slice(0, middle));
    forms.after(...parts.slice(middle + 1));
    old.className = fresh.className;
    old.dataset.digest = fresh.dataset.digest;
    return old;
  }
  const place = reachable(old).indexOf(document.activeElement);
  old.replaceWith(fresh);
  if (place >= 0) reachable(fresh)[place]?.focus();
  return fresh;
}

function reconcile(list, wanted, silent) {
  const changed = [];
  const known = new Map([...list.children].map((card) => [card.id, card]));
  let place = 0;
  for (const fresh of [...wanted.children]) {
    const old = fresh.id ? known.get(fresh.id) : undefined;
    known.delete(fresh.id);
    const same = old && old.dataset.digest === fresh.dataset.digest;
    const card = same ? old : old ? replace(old, fresh) : fresh;
    if (!same && card.id) changed.push(card);
    const here = list.children[place++];
    if (here !== card) list.insertBefore(card, here ?? null);
  }
  for (const gone of known.values()) gone.remove();
  if (!silent) for (const card of changed) card.classList.add("fresh");
  return changed.map((card) => card.dataset.name);
}

async function look(silent) {
  if (looking) return;
  looking = true;
  try {
    const answer = await fetch("/play/board", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const wanted = lists(page);
    const changed = [];
    for (const [name, list] of Object.entries(lists(document))) {
      if (name === "calls") {
        if (list.innerHTML !== wanted[name].innerHTML) list.innerHTML = wanted[name].innerHTML;
      } else {
        changed.push(...reconcile(list, wanted[name], silent));
      }
    }
    if (changed.length && !silent) news.textContent = `${changed.join(", ")} changed`;
    live.textContent = "live";
    live.classList.remove("off");
  } catch {
    live.textContent = "not reachable";
    live.classList.add("off");
  } finally {
    looking = false;
  }
}

function complain(form, text) {
  form.querySelector(".problem")?.remove();
  const line = document.createElement("p");
  line.className = "problem";
  line.setAttribute("role", "alert");
  line.textContent = text;
  form.append(line);
}

async function send(event) {
  const form = event.target;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form));
  fields.set("as", form.closest(".side").querySelector("[data-as]").value);
  const buttons = [...form.querySelectorAll("button")];
  buttons.forEach((button) => { button.disabled = true; });
  try {
    const answer = await fetch(form.action, { method: "POST", body: fields, redirect: "manual" });
    if (answer.type !== "opaqueredirect") {
      complain(form, await answer.text());
      return;
    }
    form.querySelector(".problem")?.remove();
    form.reset();
    const details = form.closest("details");
    if (details) {
      details.open = false;
      details.querySelector("summary").focus();
    }
  } catch {
    complain(form, "The sandbox does not answer.");
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
  }
  await look(false);
}

function shortcut(event) {
  const side = { c: "cases", i: "incidents" }[event.key];
  const typing = event.target.closest("input, select, textarea");
  if (!side || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const details = document.querySelector(`#${side} [data-new]`);
  details.open = true;
  details.querySelector("input").focus();
  event.preventDefault();
}

for (const select of document.querySelectorAll("[data-as]")) {
  const name = `as-${select.closest(".side").id}`;
  const kept = localStorage.getItem(name);
  if (kept && [...select.options].some((option) => option.value === kept)) select.value = kept;
  select.addEventListener("change", () => localStorage.setItem(name, select.value));
}
document.addEventListener("submit", send);
document.addEventListener("keydown", shortcut);
document.addEventListener("keydown", (event) => {
  const details = event.key === "Escape" && event.target.closest("details[open]");
  if (!details) return;
  details.open = false;
  details.querySelector("summary").focus();
});
setInterval(() => { if (!document.hidden) look(false); }, PERIOD);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(true); });
