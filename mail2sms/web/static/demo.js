// The demo page: sends through /demo/send, asks /demo/state once a second, and shows what changed. No library.
"use strict";

const $ = (id) => document.getElementById(id);
const { domain, mailbox } = document.body.dataset;
const DEFAULT_PHONE = "+33639981234";
const SIGNATURE = "\n\n-- \nMarie Dubois, ACME\n12 rue de la Paix, Paris";
const CHIPS = {
  mistake: [`${mailbox}@${domain}`, "Delivery", "To: +33 6 39 98 12 34\nExpirs: 2h\nRefe: P-881\n\nYour parcel has arrived."],
  emoji: [`33639981234@${domain}`, "Parcel", "Your parcel has arrived 📦 You can fetch it at the front desk until 18:00 today." + SIGNATURE],
  nobody: [`33639980404@${domain}`, "Appointment", "Hello, your appointment is on Tuesday at 14:30." + SIGNATURE],
  stop: [`33639987867@${domain}`, "News", "Our shop has new opening hours." + SIGNATURE],
  photo: [`33639980606@${domain}`, "Damage", "Could you send us a photo of the damage?" + SIGNATURE],
};

let state = { messages: [], sent: [], inbox: [], said: [], phone: [] };
let lastJson = "";
let phone = DEFAULT_PHONE;
let openMail = null;
const seen = new Set();
const typed = []; // what was typed on the phone and has not come back as an email yet

// Elements

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Keep the elements of what is still there, so that focus, selection and screen readers are left in peace.
function show(parent, items, build) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const print = JSON.stringify(item);
    let element = old.get(item.key);
    if (!element || element.print !== print) {
      const fresh = build(item, element);
      if (element && fresh !== element) element.replaceWith(fresh);
      element = fresh;
      element.dataset.key = item.key;
      element.print = print;
    }
    if (parent.children[place] !== element) parent.insertBefore(element, parent.children[place] ?? null);
    old.delete(item.key);
  });
  for (const element of old.values()) element.remove();
}

const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;
const duration = (from, to) => {
  const ms = Math.max(0, new Date(to) - new Date(from));
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
};
const address = (mailboxText) => (mailboxText.match(/<([^>]+)>\s*$/) ?? [null, mailboxText])[1];
const pretty = (number) => number.replace(/^(\+33)(\d)(\d\d)(\d\d)(\d\d)(\d\d)$/, "$1 $2 $3 $4 $5 $6");

async function ask(path, body) {
  const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
  const answer = await fetch(path, options);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail || content.title || `HTTP ${answer.status}`);
  return content;
}

// 1 The mailbox

async function send(draft, output) {
  output.className = "";
  output.value = "Sending…";
  try {
    const answer = await ask("/demo/send", draft);
    output.className = answer.code < 300 ? "good" : "bad";
    output.value = `${answer.code} ${answer.reply}`;
    $("raw").hidden = false;
    $("raw").querySelector("pre").textContent = answer.raw;
    await refresh();
    const message = state.messages.find((one) => one.message_id === answer.message_id);
    if (message && message.to !== phone) {
      choosePhone(message.to);
      await refresh();
    }
    return answer.code < 300;
  } catch (error) {
    output.className = "bad";
    output.value = error.message;
    return false;
  }
}

function load(to, subject, text) {
  $("to").value = to;
  $("subject").value = subject;
  $("text").value = text;
  $("smtp").value = "";
  $("compose").querySelector(".primary").focus();
}

// As the link in the email does: it opens the corrected mail, and there is nothing left but to send it.
function sendAgain(to, subject, text) {
  load(to, subject, text);
  $("compose").requestSubmit();
}

function showInbox() {
  const mails = state.inbox.map((mail) => ({ key: String(mail.n), mail, isUnread: !seen.has(mail.n), isOpen: openMail?.n === mail.n }));
  show($("inbox"), mails.reverse(), ({ mail, isUnread, isOpen }, old) => {
    const button = make("button", { type: "button", "aria-expanded": String(isOpen), "aria-controls": "mail", class: isUnread && "unread", onclick: () => open(mail) },
      make("b", {}, mail.from.replace(/\s*<.*/, "").replaceAll('"', "")), make("time", {}, clock(mail.at)), make("span", {}, mail.subject));
    if (!old) return make("li", {}, button);
    const hadFocus = old.contains(document.activeElement);
    old.replaceChildren(button);
    if (hadFocus) button.focus();
    return old;
  });
}

function open(mail) {
  const isOpen = openMail?.n === mail.n;
  openMail = isOpen ? null : mail;
  seen.add(mail.n);
  $("mail").hidden = isOpen;
  if (!isOpen) showMail(mail);
  showInbox();
}

function showMail(mail) {
  const photos = mail.photos.map((name, index) => make("img", { src: `/demo/inbox/${mail.n}/photos/${index}`, alt: name }));
  const parts = [
    make("h2", {}, mail.subject),
    make("p", { class: "head" }, `From ${mail.from}`, make("br"), `To ${mail.to}`, make("br"),
      make("a", { href: `/demo/inbox/${mail.n}`, target: "_blank" }, "Raw email")),
    make("pre", { class: "words", dir: "auto", tabindex: "0" }, mail.text.trim()),
    ...photos,
  ];
  if (mail.corrected) {
    const { to, subject, text } = mail.corrected;
    parts.push(make("p", { class: "actions" }, make("button", { type: "button", class: "primary", onclick: () => sendAgain(to, subject, text) }, "Send the corrected email")));
  }
  if (mail.reply_to) parts.push(replyForm(mail));
  $("mail").replaceChildren(...parts);
  $("mail").focus({ preventScroll: true });
  $("mail").scrollIntoView({ block: "nearest" });
}

// As mail programs do: below the signature, what is answered.
const quoted = (mail) => `\n\nOn ${new Date(mail.at).toLocaleString()}, ${mail.from.replaceAll('"', "")} wrote:\n${mail.text.trim().replaceAll(/^/gm, "> ")}\n`;

function replyForm(mail) {
  const text = make("textarea", { id: "reply", rows: 3, required: true, placeholder: "Your answer becomes an SMS" });
  const output = make("output", { for: "reply", "aria-live": "polite" });
  const form = make("form", {}, make("label", { for: "reply" }, "Reply by email"), text,
    make("p", { class: "actions" }, make("button", { class: "primary" }, "Send reply"), output));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const draft = {
      from: address(mail.to), to: address(mail.reply_to), text: text.value + SIGNATURE + quoted(mail),
      subject: /^re:/i.test(mail.subject) ? mail.subject : `Re: ${mail.subject}`,
      in_reply_to: mail.message_id, references: `${mail.references} ${mail.message_id}`.trim(),
    };
    if (await send(draft, output)) text.value = "";
  });
  return form;
}

// 2 What happened

const ENCODINGS = { gsm7: "GSM-7 alphabet", ucs2: "Unicode" };
const CAUSES = {
  "carrier.unknown_number": "the number does not exist",
  "carrier.undeliverable": "the phone cannot be reached",
  "carrier.rejected": "the carrier rejected it",
  "carrier.expired": "it did not get through in time",
};

function steps(message) {
  const list = [];
  const add = (mark, kind, text, more = {}) => list.push({ mark, kind, text, ...more });
  const size = `${plural([...message.text].length, "character", "characters")}, ${ENCODINGS[message.encoding] ?? message.encoding}, ${plural(message.parts, "SMS", "SMS")}`;
  add("✓", "good", `Accepted for ${pretty(message.to)}`, { small: `${size}; the phone shows ${pretty(message.sender_id)}` });
  if (message.left_out.length) add("✂", "", ...leftOut(message.left_out));
  for (const event of message.events.slice(1)) addEvent(add, event, message);
  for (const mail of state.inbox.filter((one) => one.kind === "undelivered" && one.about === message.id)) {
    add("✉", "", `Told ${address(mail.to)} by email`, { mail: mail.n });
  }
  return list;
}

function leftOut(lines) {
  const isSignature = lines[0].trimEnd() === "--";
  const hasQuote = lines.some((line) => line.startsWith(">"));
  const what = isSignature ? `Signature${hasQuote ? " and quoted email" : ""}` : hasQuote ? "Quoted email" : "Text after the end";
  const gone = (isSignature ? lines.slice(1) : lines).join("\n");
  return [`${what} left out`, { gone, small: isSignature ? "It begins at the line “-- ”, as mail programs write it." : "" }];
}

function addEvent(add, event, message) {
  const cause = CAUSES[event.reason] ?? event.detail;
  const after = duration(message.created_at, event.at);
  const words = {
    enroute: ["→", "", `Sent by carrier “${event.carrier}” after ${after}`],
    delivered: ["✓", "good", `Delivered after ${after}`],
    undeliverable: ["!", "bad", `Not delivered: ${cause}`],
    rejected: ["!", "bad", `Not sent: ${cause}`],
    expired: ["!", "bad", `Given up: ${cause}`],
    cancelled: ["×", "", "Cancelled"],
    unknown: ["?", "bad", "The carrier’s answer was lost. It may have arrived, so it is not sent again."],
    queued: ["…", "", event.reason === "retry" ? `Not taken (${event.detail || "busy"}): tried again, next by “${event.carrier}”` : "Waits"],
  }[event.status];
  if (words) add(...words);
}

function replies(messages) {
  const list = [];
  const conversations = new Set(messages.map((message) => message.conversation));
  for (const mo of state.said.filter((one) => conversations.has(one.conversation))) {
    const answered = state.messages.filter((one) => one.conversation === mo.conversation && one.created_at <= mo.at)[0];
    if (!answered || !messages.some((message) => message.id === answered.id)) continue;
    const mail = state.inbox.find((one) => one.n === mo.mail);
    list.push({ mark: "←", kind: "good", text: `Reply from ${pretty(mo.from)}`, small: `“${mo.text}”${mo.photos ? " and a photo" : ""}` });
    if (mail) list.push({ mark: "✉", kind: "", text: `Sent to ${address(mail.to)} by email`, mail: mail.n });
  }
  return list;
}

function cards() {
  const bySubmission = Map.groupBy ? Map.groupBy(state.messages, (one) => one.submission) : grouped(state.messages);
  const list = [];
  for (const [id, messages] of bySubmission) {
    const mail = state.sent.find((one) => one.message_id === messages[0].message_id);
    const title = messages[0].subject ? `Email “${messages[0].subject}”` : messages[0].message_id?.startsWith("<") ? "Email" : "API call";
    list.push({ key: mail?.message_id ?? id, at: messages[0].created_at, title, steps: [...messages.flatMap(steps), ...replies(messages)] });
  }
  const told = new Set(state.messages.map((one) => one.message_id));
  const notices = new Map(state.inbox.filter((one) => one.kind === "refused").map((one) => [one.in_reply_to || one.n, one]));
  for (const mail of state.sent.filter((one) => !told.has(one.message_id))) {
    list.push(refusedCard(mail, notices.get(mail.message_id)));
    notices.delete(mail.message_id);
  }
  for (const notice of notices.values()) list.push(refusedCard({ message_id: `n-${notice.n}`, at: notice.at }, notice));
  return list.sort((a, b) => (a.at < b.at ? 1 : -1));
}

function grouped(messages) {
  const groups = new Map();
  for (const message of messages) groups.set(message.submission, [...(groups.get(message.submission) ?? []), message]);
  return groups;
}

// Of a mail from another program, only the notice is known.
function refusedCard(mail, notice) {
  const list = [];
  if (mail.code >= 400) list.push({ mark: "!", kind: "bad", text: "Refused at once", small: `${mail.code} ${mail.reply}` });
  else list.push({ mark: "!", kind: "bad", text: "No SMS sent: something in the email is wrong" });
  if (notice) list.push({ mark: "✉", kind: "", text: "An email says what, where, and how to put it right", mail: notice.n });
  return { key: mail.message_id, at: mail.at, title: mail.subject ? `Email “${mail.subject}”` : mail.to ? `Email to ${mail.to}` : notice.subject, steps: list };
}

function showTimeline() {
  show($("did"), cards(), (card, old) => {
    const element = old ?? make("article", { class: "card" }, make("h3", {}, make("time", {}, clock(card.at)), card.title), make("ol", { class: "steps" }));
    const list = element.querySelector(".steps");
    show(list, card.steps.map((step, index) => ({ key: String(index), ...step })), (step) =>
      make("li", { class: step.kind || null, "data-mark": step.mark }, step.text,
        step.gone ? make("del", {}, step.gone) : null, step.small ? make("small", {}, step.small) : null,
        step.mail ? make("button", { type: "button", class: "link", onclick: () => openByNumber(step.mail) }, "Open it") : null));
    for (const button of list.querySelectorAll(".link")) button.before(" ");
    return element;
  });
}

function openByNumber(n) {
  const mail = state.inbox.find((one) => one.n === n);
  if (mail && openMail?.n !== n) open(mail);
  $("mail").scrollIntoView({ block: "nearest" });
}

// 3 The phone

function choosePhone(number) {
  phone = number;
  showNumbers();
}

function showNumbers() {
  const numbers = [...new Set([DEFAULT_PHONE, phone, ...state.messages.map((one) => one.to)])];
  show($("number"), numbers.map((number) => ({ key: number })), ({ key }) => make("option", { value: key }, pretty(key)));
  $("number").value = phone;
}

function showPhone() {
  const mine = state.said.filter((one) => one.from === phone);
  const texts = [
    ...state.phone.map((one) => ({ key: one.id, at: one.at, text: one.text, kind: "got", parts: one.parts })),
    ...mine.map((one) => ({ key: one.id, at: Date.parse(one.at), text: one.text, kind: "typed", photo: one.photos ? `/demo/inbox/${one.mail}/photos/0` : null })),
    ...typed.filter((one) => one.phone === phone && !mine.some((mo) => mo.text === one.text && Date.parse(mo.at) >= one.at - 2000)),
  ].sort((a, b) => a.at - b.at);
  const count = $("bubbles").children.length;
  show($("bubbles"), texts, (one) => make("li", { class: one.kind, dir: "auto" },
    one.photo ? make("img", { src: one.photo, alt: "Photo" }) : null, one.text,
    make("small", {}, clock(one.at) + (one.parts > 1 ? ` · ${one.parts} parts` : ""))));
  if ($("bubbles").children.length !== count) $("bubbles").scrollTop = $("bubbles").scrollHeight;
  const last = state.phone.at(-1);
  const canAnswer = Boolean(last) && /^\+?\d+$/.test(last.from);
  $("contact").textContent = last ? `from ${pretty(last.from)}` : "";
  for (const field of $("type").elements) field.disabled = !canAnswer;
  $("answer").placeholder = canAnswer ? "Write back" : "";
  const nobody = phone.endsWith("0404") ? "No phone has this number." : "";
  $("phone-note").textContent = last && !canAnswer ? `“${last.from}” is a name: phones cannot answer it.` : nobody;
}

async function writeBack(event) {
  event.preventDefault();
  const text = $("answer").value.trim();
  const last = state.phone.at(-1);
  if (!text || !last) return;
  const one = { key: `typed-${Date.now()}`, at: Date.now(), text, kind: "typed", phone };
  try {
    await ask(`/sim/phones/${encodeURIComponent(phone)}`, { text, to: last.from });
    $("answer").value = "";
    typed.push(one);
    showPhone();
  } catch (error) {
    $("phone-note").textContent = error.message;
  }
}

function buzz() {
  const frame = document.querySelector(".phone");
  frame.classList.remove("buzz");
  void frame.offsetWidth; // starts the animation anew
  frame.classList.add("buzz");
}

// Live

async function refresh() {
  const asked = phone;
  const fresh = await ask(`/demo/state?phone=${encodeURIComponent(asked)}`);
  const json = asked + JSON.stringify(fresh);
  if (json === lastJson || asked !== phone) return;
  const isNewText = lastJson.startsWith(asked) && fresh.phone.length > state.phone.length;
  lastJson = json;
  state = fresh;
  showInbox();
  showTimeline();
  showNumbers();
  showPhone();
  if (isNewText) buzz();
}

async function live() {
  try {
    await refresh();
    if (document.title.startsWith("(")) document.title = "mail2sms demo";
  } catch {
    document.title = "(no answer) mail2sms demo";
  }
  setTimeout(live, 1000);
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  send({ from: $("from").value.trim(), to: $("to").value.trim(), subject: $("subject").value, text: $("text").value }, $("smtp"));
});
for (const chip of document.querySelectorAll("[data-chip]")) chip.addEventListener("click", () => load(...CHIPS[chip.dataset.chip]));
$("number").addEventListener("change", () => { choosePhone($("number").value); refresh(); });
$("type").addEventListener("submit", writeBack);
$("bubbles").addEventListener("load", () => { $("bubbles").scrollTop = $("bubbles").scrollHeight; }, true); // a photo came
showNumbers();
live();
