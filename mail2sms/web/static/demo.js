// The demo page: links and forms work without this. With it, nothing reloads: the page is asked for again, and what
// changed is put in its place. No library.
"use strict";

const sources = new WeakMap(); // element -> its HTML as it came, whatever was typed or opened since
const root = document.querySelector("main");
const eventsAt = document.body.dataset.events ?? "/demo/events";

const known = (element) => sources.get(element) ?? element.outerHTML;

function remember(element) {
  sources.set(element, element.outerHTML);
  for (const inner of element.querySelectorAll("[id]")) sources.set(inner, inner.outerHTML);
}

// Keep what is still there, so that focus, selection and screen readers are left in peace.
function grow(old, fresh) {
  const kept = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  [...fresh.children].forEach((child, place) => {
    const html = child.outerHTML;
    let element = kept.get(child.id);
    kept.delete(child.id);
    if (!element) {
      element = document.importNode(child, true);
      remember(element);
      element.classList.add("fresh");
    } else if (known(element) !== html) {
      if (child.matches("[data-grows]") && element.matches("[data-grows]")) {
        grow(element, child);
        sources.set(element, html);
      } else {
        const next = document.importNode(child, true);
        element.replaceWith(next);
        element = next;
        remember(element);
      }
    }
    if (old.children[place] !== element) old.insertBefore(element, old.children[place] ?? null);
  });
  for (const element of kept.values()) element.remove();
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("main");
  if (!fresh) throw new Error("no page");
  const focused = document.activeElement?.id;
  const got = root.querySelectorAll("#bubbles .got").length;
  const texts = root.querySelector("#texts").children.length;
  for (const section of fresh.children) {
    for (const part of section.querySelectorAll(":scope > [id]")) {
      const mine = document.getElementById(part.id);
      if (!mine || known(mine) === part.outerHTML) continue;
      if (part.matches("[data-grows]")) {
        grow(mine, part);
        sources.set(mine, part.outerHTML);
      } else {
        const next = document.importNode(part, true);
        mine.replaceWith(next);
        remember(next);
      }
      if (section.id !== tab()) markNew(section.id);
    }
  }
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (root.querySelector("#texts").children.length !== texts) scrollDown();
  if (root.querySelectorAll("#bubbles .got").length > got) buzz();
}

function scrollDown() {
  const bubbles = root.querySelector("#bubbles");
  bubbles.scrollTop = bubbles.scrollHeight;
}

function buzz() {
  const frame = document.querySelector(".phone");
  frame.classList.remove("buzz");
  void frame.offsetWidth; // starts the animation anew
  frame.classList.add("buzz");
}

// Tabs, where the window is narrow

const tabs = [...document.querySelectorAll("[data-tab]")];
const isNarrow = matchMedia("(max-width: 720px)");
const tab = () => root.dataset.tab;

function choose(name) {
  root.dataset.tab = name;
  for (const link of tabs) {
    const isChosen = link.dataset.tab === name;
    if (isChosen) {
      link.setAttribute("aria-current", "true");
      link.querySelector("span")?.remove();
    } else link.removeAttribute("aria-current");
  }
  if (name === "phone") scrollDown();
}

function markNew(name) {
  const link = tabs.find((one) => one.dataset.tab === name);
  if (!link || !isNarrow.matches || link.querySelector("span")) return;
  const mark = document.createElement("span");
  mark.textContent = " • new";
  link.append(mark);
}

for (const link of tabs) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    choose(link.dataset.tab);
    scrollTo(0, 0);
  });
}

// Asking for the page

const lost = document.getElementById("lost");
const say = (text) => { if (lost && lost.textContent !== text) lost.textContent = text; };
let turn = 0;
let move = 0; // the turn that somebody asked for last

async function load(url, options, isQuiet) {
  const mine = ++turn;
  if (!isQuiet) move = mine;
  const answer = await fetch(url, options);
  const isPage = answer.headers.get("content-type")?.startsWith("text/html");
  const body = await answer.text();
  if (!isPage) throw new Error(JSON.parse(body).detail || `HTTP ${answer.status}`);
  const hasMoved = isQuiet && url !== location.href; // meanwhile: this is of where they were
  if (hasMoved) isStale = true;
  if (isQuiet ? hasMoved || mine !== turn : mine !== move) return;
  if (!isQuiet) history.replaceState(null, "", answer.url);
  show(body);
  say("");
}

let refreshing = false;
let isStale = false;

async function refresh() {
  isStale = true;
  if (refreshing) return;
  refreshing = true;
  while (isStale) {
    isStale = false;
    try {
      await load(location.href, {}, true);
    } catch {
      say("The demo does not answer. Is it still running?");
    }
  }
  refreshing = false;
}

async function go(url, options, then) {
  try {
    await load(url, options, false);
    then?.();
  } catch (error) {
    say(error.message);
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form));
  if (form.method === "get") {
    go(`${form.getAttribute("action")}?${fields}`, {});
    return;
  }
  const typed = [...form.querySelectorAll("#answer, [data-pins]")];
  go(form.getAttribute("action"), { method: "POST", body: fields }, () => {
    for (const field of typed) field.value = "";
    if (form.id !== "type" && isNarrow.matches) choose("did");
  });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || link.target || link.dataset.tab || !link.getAttribute("href").startsWith("/demo") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const part = link.hash.slice(1);
  go(link.href, {}, () => {
    if (part === "open") {
      choose("mailbox");
      document.getElementById("open")?.scrollIntoView({ block: "start" });
    } else if (part === "mailbox") {
      choose("mailbox");
      document.getElementById("send")?.focus({ preventScroll: true });
      document.getElementById("compose")?.scrollIntoView({ block: "nearest" });
    }
  });
});

document.addEventListener("load", (event) => { if (event.target.closest?.("#bubbles")) scrollDown(); }, true); // a photo came

document.addEventListener("change", (event) => {
  if (event.target.id === "number") event.target.form.requestSubmit();
});

// Who writes an answer keeps that email open, whatever arrives.
document.addEventListener("input", (event) => {
  const { pins } = event.target.dataset;
  if (!pins) return;
  const url = new URL(location.href);
  if (url.searchParams.get("mail") === pins) return;
  url.searchParams.set("mail", pins);
  history.replaceState(null, "", url);
});

// Live

function listen() {
  const events = new EventSource(eventsAt);
  for (const name of ["hello", "message", "mail", "sent"]) events.addEventListener(name, refresh);
  events.addEventListener("error", () => {
    say("Connecting again…");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

document.documentElement.classList.add("js");
if (root.querySelector("#mailbox")) choose(["mailbox", "did", "phone"].includes(location.hash.slice(1)) ? location.hash.slice(1) : "mailbox");
remember(root);
scrollDown();
listen();
