// The page of sseserver. It follows one stream: a run, or a published stream. If the token source takes prompts, the page is a chat: each
// answer is a stream of its own, shown below the earlier turns, and its text is Markdown.

import { forgetChat, hasSession, isList, keepChat, keepTurn, listChats, noteSession, readTurn, recall } from "./chats.js";
import { Markdown, make, makeCopyButton } from "./markdown.js";
import { cancel, paint, setFollowing, watchFollowing } from "./painting.js";
import { ask, base, grants, home, intake, isLink, locate, nameOf, post, readsOnly, streams } from "./places.js";
import { Plain } from "./plain.js";
import * as speech from "./speech.js";
import { Stream } from "./stream.js";
import { Work } from "./work.js";

const root = document.documentElement;

// Whether the token source takes prompts. If so, no run starts before the first question.
const asks = "asks" in root.dataset;

const STATES = {
  ready: { label: "", idle: true },
  sending: { label: "Sending" },
  connecting: { label: "Connecting", live: true },
  streaming: { label: "Streaming", live: true },
  reconnecting: { label: "Reconnecting", live: true },
  finished: { label: "Finished", idle: true },
  failed: { label: "Failed", idle: true },
  stopped: { label: "Stopped", idle: true },
  lost: { label: "Lost", idle: true },
  locked: { label: "Locked" },
  unsupported: { label: "Not supported" },
};

const CANCELLED = {
  linger: "The server stopped this answer because nobody was watching.",
  idle: "The server closed this stream because nothing was published into it.",
  deleted: "This answer was deleted from the server.",
};

const FINISHED = {
  length: "The answer ends here because the model has reached its limit of tokens.",
  content_filter: "The model has left a part out.",
  tool_calls: "The model asks for the tools above. This page runs none.",
  function_call: "The model asks for the function above. This page runs none.",
};

const EXAMPLES = ["Explain event streams to a child, with an example.", "Compare three ways to boil an egg in a table."];

const ATTEMPTS = 5; // Number of times that a question is sent until the server answers.
const PAUSE = 1000; // Milliseconds. Pause after the first attempt. Later ones are longer.

const page = {};
for (const element of document.querySelectorAll("[id]")) page[element.id] = element;

let text; // Markdown, or plain where the source takes no prompts and for published streams.
const work = new Work(page.work);

let run; // The stream being shown, with its turns.
let sent; // The last question, until the server has confirmed it.
let model; // The model of the next question, if the visitor or the conversation has one.

// Show the stream that the URL names: <base>streams/NAME. At <base> itself, start a run, or wait for a question.
function open(turns) {
  if (run && run.stream) run.stream.leave();
  const name = nameOf(location);
  const started = Boolean(turns || (readTurn(name) || {}).started);
  const all = turns || recall(name);
  run = { name, started, linked: name !== "" && !started, turn: all.pop(), turns: all, usage: null };
  if (run.turn && "model" in run.turn) model = run.turn.model;
  cancel();
  setText(asks);
  for (const each of [work, speech]) each.clear();
  for (const element of [page.gap, page.counts, page.verdict]) element.textContent = "";
  page.stop.disabled = false;
  page.link.hidden = page.lock.hidden = true;
  leaveEditing();
  page.tools.replaceChildren();
  showTurns();
  showTitle();
  showChats();
  toggleSide(false);
  if (asks) showField();
  if (asks && !name) wait();
  else begin();
}

function setText(isMarkdown) {
  text = isMarkdown ? new Markdown(page.text) : new Plain(page.text);
  page.text.dir = isMarkdown ? "" : "auto"; // Each block of Markdown has its own.
}

function begin() {
  run.stream = new Stream(run.name, makeViewer(run));
  setFollowing(true);
  if (run.linked) run.stream.find();
  else run.stream.follow();
}

async function wait() {
  enter("ready");
  if (!matchMedia("(pointer: coarse)").matches) page.field.focus();
  const asked = run;
  const status = await findModels();
  if (asked === run && !run.name && status === 401) lock();
}

async function findModels() {
  const { status, body } = await ask(new URL("v1/models", base).href + (isLink ? location.search : ""));
  if (status === 200 && Array.isArray(body.data)) showModels(body.data.map(({ id }) => String(id)));
  return status;
}

// What a stream tells is shown only while the page shows that stream.
function makeViewer(shown) {
  const viewer = { enter, learn, lock, onLost, onStream, onText, onEvent, onChunk, onGap, onRestart, onEnd };
  return Object.fromEntries(Object.entries(viewer).map(([name, call]) => [name, (...given) => { if (shown === run) call(...given); }]));
}

function enter(state, remark = "") {
  if (state === "streaming" && run.state === state && run.shown === run.name && !remark) return; // As for nearly every token.
  run.shown = run.name;
  const { label, live, idle } = STATES[state];
  if (run.state === "reconnecting" && state === "streaming") speech.say("Connected again");
  run.state = state;
  root.dataset.state = state;
  root.toggleAttribute("data-live", Boolean(live));
  write(page.state, label);
  write(page.remark, remark);
  show(page.stop, live && run.name && (run.started || grants("cancel", run.name)) && !run.refused);
  show(page.copy, run.name && state !== "lost" && state !== "locked");
  show(page.again, asks ? run.name : idle);
  show(page.send, !live);
  page.send.disabled = page.field.readOnly = state === "sending";
  if (!live) showLatest(true);
}

// A screen reader speaks a live region at each assignment, even of the same text.
function write(element, content) {
  if (element.textContent !== content) element.textContent = content;
}

// Move the focus away from a button that is about to disappear; it would return to the top of the page.
function show(button, wanted) {
  if (!wanted && button === document.activeElement) (page.ask.hidden ? page.text : page.field).focus({ preventScroll: true });
  button.hidden = !wanted;
}

function showLatest(isFollowing) {
  show(page.latest, !isFollowing && STATES[run.state].live);
}

function learn(state) {
  if (asks && state.published) setText(false);
  if (!asks || run.turn || !state.question) return;
  run.turn = { question: state.question };
  showTurns();
  showTitle();
  showField();
}

function onLost() {
  const { turn, stream } = run;
  if (!text.text && turn && turn.answer) {
    text.append(turn.answer);
    work.unpack(turn);
    end("lost", "The server no longer has this answer. The text above is the copy kept by this browser.");
  } else if (stream.lastID) end("lost", "The server no longer has this answer. The text above is the part that arrived.");
  else end("lost", run.linked ? "The server does not have this answer." : "The server no longer has this answer.");
}

function onStream({ isNew, isOpen, isCut }) {
  if (isNew && !isOpen && run.linked) setFollowing(false); // A complete answer is read from its start.
  if (isCut) page.gap.textContent = "The beginning of the text is no longer kept.";
  if (!run.name) showAddress(run.stream.given);
}

function onText(token) {
  work.settle();
  text.append(token);
  speech.hear(text instanceof Markdown ? token.replace(/[*_`#|>]+/g, "") : token);
  paintText();
}

function onEvent(type, data) {
  text.appendEvent(type, data);
  speech.hear(data + "\n");
  paintText();
}

const showText = () => text.show();

function paintText() {
  paint(text, showText);
  paint(page.counts, showCounts);
}

function onChunk(chunk) {
  if (chunk.usage) run.usage = chunk.usage;
  work.add(chunk);
  paint(page.counts, showCounts);
}

function clearText() {
  text.clear();
  work.clear();
  speech.hush();
}

function onGap({ reason, missed }) {
  if (reason === "trimmed") {
    page.gap.textContent = "Part of the text is missing" + (missed ? " (" + missed + " tokens)." : ".");
  } else {
    page.gap.textContent = text.text ? "The server could not continue at the position of this page. The text has been replaced." : "";
    clearText();
  }
}

// The server that wrote the answer is gone, and another one has begun it anew.
function onRestart() {
  if (text.text) page.gap.textContent = "The server was interrupted. The answer has begun anew.";
  clearText();
}

function onEnd(state, { message, reason, usage }) {
  if (usage) run.usage = usage;
  if (state === "failed") end(state, message || "The server gave no reason.");
  else end(state, state === "stopped" ? CANCELLED[reason] : asks && FINISHED[reason]);
}

// The state is shown with the rest of the text.
function end(state, verdict) {
  work.settle();
  paint(text, () => {
    const more = text.show(true);
    if (!more) conclude(state, verdict || "");
    return more;
  });
}

function conclude(state, verdict) {
  run.ended = true;
  showCounts();
  speech.conclude();
  write(page.verdict, verdict);
  page.verdict.classList.toggle("bad", state === "failed");
  if (run.turn) {
    run.turn.stopped = state === "stopped";
    keepTurn(run.name, { ...packTurn(), started: run.started });
  }
  enter(state);
  showTools();
}

// The turn of a run with everything that is shown below its question.
function packTurn() {
  const { gap, verdict } = page;
  return { ...run.turn, ...work.pack(), answer: text.text, gap: gap.textContent, verdict: verdict.textContent, bad: verdict.classList.contains("bad") };
}

// After this, a reload shows the stream from its start instead of starting another run.
function showAddress(name) {
  run.name = run.stream.name = name;
  run.started = true;
  keepTurn(name, { started: true });
  history.replaceState(null, "", locate(name));
}

function showCounts() {
  const { stream, usage } = run;
  if (!stream || !stream.epoch) return;
  const { rate, published } = stream;
  const count = (usage && run.ended && usage.completion_tokens) || stream.tokens;
  const unit = published ? "event" : "token";
  const parts = [count === 1 ? "1 " + unit : count.toLocaleString("en") + " " + unit + "s"];
  if (rate > 0) parts.push((rate < 100 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en")) + " per second");
  if (usage && usage.prompt_tokens) parts.push(usage.prompt_tokens.toLocaleString("en") + " in the prompt");
  write(page.counts, parts.join(" · "));
}

// A conversation is named by its first question, here as in the list.
function showTitle() {
  const { turns: [first = run.turn], name, linked } = run;
  const title = first ? first.question : linked ? name : "sseserver";
  write(page.title, title.slice(0, 300));
  document.title = first ? title.slice(0, 80) + " · sseserver" : "sseserver";
}

// The turns.

function showTurns() {
  page.turns.replaceChildren();
  for (const turn of run.turns) showTurn(turn);
  if (run.turn) showQuestion(run.turn.question, run.linked ? "The question" : "You asked");
}

function showTurn(turn) {
  const { question, answer = "", gap, bad, stopped } = turn;
  const verdict = turn.verdict || (stopped ? "This answer was stopped." : "");
  showQuestion(question, "You asked");
  if (gap) add("p", "notice", gap);
  add("h2", "unseen", "The answer");
  const before = new Work(add("div", "work"));
  before.unpack(turn);
  const element = add("div", "answer");
  const view = new Markdown(element);
  view.append(answer);
  paint(view, () => view.show(true));
  if (answer) add("div", "tools").append(makeCopyButton("Copy answer", () => ({ text: answer, element })));
  if (verdict) add("p", bad ? "notice bad" : "notice", verdict);
}

function showQuestion(question, title) {
  add("h2", "unseen", title);
  add("p", "question", question).dir = "auto";
}

function add(tag, className, content = "") {
  return page.turns.appendChild(make(tag, { className, textContent: content }));
}

// What can be done with an answer that has ended.
function showTools() {
  page.tools.replaceChildren();
  if (text.text && !run.stream.published) page.tools.append(makeCopyButton(asks ? "Copy answer" : "Copy text", () => ({ text: text.text, element: page.text })));
  if (!asks || !run.turn) return;
  const className = run.state === "finished" ? "quiet" : "";
  page.tools.append(make("button", { type: "button", className, textContent: "Try again", onclick: onRetry }));
  page.tools.append(make("button", { type: "button", className: "quiet", textContent: "Edit question", onclick: onEdit }));
}

// A visitor who came by a link can continue the chat from the question and the answer, once the server has told the question.
function showField() {
  page.welcome.hidden = run.name !== "";
  page.ask.hidden = run.name !== "" && !run.turn;
  (page.ask.hidden ? page.copy : page.send).after(page.stop);
}

// An upstream without --model may need the name of a model: then it is the first one, until the visitor chooses.
function showModels(ids) {
  const choices = "chooses" in root.dataset ? [] : [["", "The usual model"]];
  page.models.hidden = ids.length < 2;
  page.model.replaceChildren();
  if (ids.length === 1) page.model.append(make("b", { textContent: ids[0] }), " answers.");
  else if (ids.length) page.model.append("One of these models answers:");
  choices.push(...ids.map((id) => [id, id]));
  page.models.replaceChildren(...choices.map(([value, textContent]) => make("option", { value, textContent })));
  if (ids.includes(model)) page.models.value = model;
  else model = page.models.value;
}

// Questions.

function onKey(event) {
  const composing = event.isComposing || event.keyCode === 229; // In Safari the Enter that ends a composition has 229.
  if (event.key === "Enter" && !event.shiftKey && !composing) onAsk(event);
  if (event.key === "Escape" && run.editing) leaveEditing();
}

function onAsk(event) {
  event.preventDefault();
  const question = page.field.value.trimEnd();
  if (!question || !STATES[run.state].idle) return;
  page.field.focus();
  askNext(question, run.editing);
}

// Ask a question after the present turn, or in its place.
async function askNext(question, replaces) {
  const asked = run;
  const { state, turn } = asked;
  enter("sending");
  if (model === undefined && "chooses" in root.dataset) await findModels(); // A visitor who came by a link has seen none.
  if (asked !== run) return;
  const turns = turn && !replaces ? [...asked.turns, { ...packTurn(), name: asked.name }] : asked.turns;
  const body = JSON.stringify({ messages: messages(turns, question), stream_options: { include_usage: true }, ...(model && { model }) });
  if (!sent || sent.body !== body) sent = { body, key: makeKey() };
  const { status, name, error } = await send(asked);
  if (asked !== run) return; // The visitor has navigated away.
  if (name) showNext(name, [...turns, { question, after: turns.length ? turns[turns.length - 1].name : "", chat: (turn && turn.chat) || name, model }]);
  else {
    enter(state, (error && error.message) || "The server did not accept the question.");
    if (status === 401) lock();
  }
}

function onRetry() {
  askNext(run.turn.question, true);
}

function onEdit() {
  run.editing = true;
  page.editing.hidden = false;
  page.field.value = run.turn.question;
  fit();
  page.field.focus();
}

function leaveEditing() {
  if (run.editing || !page.editing.hidden) page.field.value = "";
  run.editing = false;
  page.editing.hidden = true;
  fit();
}

// Omit questions without an answer: some models refuse two questions in a row.
function messages(turns, question) {
  const answered = turns.filter(({ answer }) => answer);
  const told = answered.flatMap((turn) => [{ role: "user", content: turn.question }, { role: "assistant", content: turn.answer }]);
  return [...told, { role: "user", content: question }];
}

function makeKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // crypto.randomUUID is missing on pages served over plain HTTP.
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The server may have received a question whose answer was lost. The idempotency key prevents a second run.
async function send(asked) {
  const { body, key } = sent;
  for (let attempt = 1; asked === run; attempt += 1) {
    const { status, body: answer } = await post(intake(), body, { "Idempotency-Key": key });
    if (answer) return { status, ...answer };
    if (attempt === ATTEMPTS) break;
    if (asked === run) write(page.remark, "The server cannot be reached. Trying again.");
    await new Promise((resolve) => { setTimeout(resolve, PAUSE * attempt); });
  }
  return { error: { message: "The server cannot be reached. Your question is still in the field. Send it again in a moment." } };
}

function showNext(name, turns) {
  const turn = turns[turns.length - 1];
  sent = null;
  keepTurn(name, { ...turn, started: true });
  keepChat({ chat: turn.chat, name, title: turns[0].question.slice(0, 200) });
  history.pushState(null, "", locate(name));
  page.field.value = "";
  fit();
  open(turns);
}

// Grow the field with its text.
function fit() {
  page.field.style.height = "auto";
  page.field.style.height = page.field.scrollHeight + page.field.offsetHeight - page.field.clientHeight + "px";
}

// The list of conversations.

function showChats() {
  if (!asks) return;
  page.side.hidden = page.menu.hidden = false;
  const chats = listChats();
  const chat = run.turn && run.turn.chat;
  page.nochats.hidden = chats.length > 0;
  page.leave.hidden = !hasSession();
  page.chats.replaceChildren(...chats.map((each) => {
    const open = make("a", { href: locate(each.name), textContent: each.title, dir: "auto", onclick: (event) => onChat(event, each) });
    if (each.chat === chat) open.setAttribute("aria-current", "page");
    const drop = make("button", { type: "button", className: "quiet", textContent: "×", title: "Forget this conversation", onclick: () => onForget(each) });
    drop.setAttribute("aria-label", "Forget the conversation " + each.title);
    return make("li", {}, open, drop);
  }));
}

function onChat(event, { name }) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // Into another window.
  event.preventDefault();
  history.pushState(null, "", locate(name));
  open();
}

function onForget({ chat }) {
  forgetChat(chat);
  if (run.turn && run.turn.chat === chat) onAgain();
  else showChats();
}

function toggleSide(wanted) {
  root.toggleAttribute("data-side", wanted);
  page.menu.setAttribute("aria-expanded", wanted);
  if (wanted) page.fresh.focus();
}

// Credentials.

function lock() {
  enter("locked");
  page.lock.hidden = false;
  page.welcome.hidden = true;
  write(page.wrong, isLink ? "The link of this page is not valid, or no longer." : "");
  page.key.focus();
}

async function onKeyGiven(event) {
  event.preventDefault();
  const { status, body } = await post(new URL("session", base), "", { Authorization: "Bearer " + page.key.value.trim() });
  if (status === 201) {
    noteSession(true);
    page.key.value = "";
    open(run.turn && run.started ? [...run.turns, run.turn] : undefined);
  } else write(page.wrong, (body && body.error && body.error.message) || "The server cannot be reached.");
}

async function onLeave() {
  await ask(new URL("session", base), { method: "DELETE" });
  noteSession(false);
  location.href = base;
}

// Buttons.

async function onStop() {
  const asked = run;
  page.stop.disabled = true;
  const { status } = await post(locate(asked.name, "/cancel"), "");
  if (asked !== run || status === 200) return;
  page.stop.disabled = false;
  run.refused = status === 401 || status === 403;
  enter(run.state, run.refused ? "This answer is not yours to stop." : "The stop request did not reach the server.");
}

// A link for other people must not give them more than reading.
async function makeLink(name) {
  if (!isLink && !hasSession()) return new URL(streams + name).href;
  if (isLink && readsOnly()) return locate(name).href;
  const { status, body } = await post(locate(name, "/links"), "{}");
  return status === 201 ? new URL(body.url, base).href : new URL(streams + name).href;
}

async function onCopy() {
  const link = await makeLink(run.name);
  try {
    await navigator.clipboard.writeText(link); // Undefined on pages served over plain HTTP by another machine.
    page.copy.textContent = "Copied";
    speech.say("Link copied");
    setTimeout(() => { page.copy.textContent = "Copy link"; }, 2000); // Milliseconds.
  } catch (error) {
    page.link.value = link;
    page.link.hidden = false;
    page.link.select();
  }
}

function onAgain() {
  history.pushState(null, "", home());
  open();
}

function listen() {
  page.ask.addEventListener("submit", onAsk);
  page.lock.addEventListener("submit", onKeyGiven);
  page.field.addEventListener("keydown", onKey);
  page.field.addEventListener("input", fit);
  const clicks = { stop: onStop, copy: onCopy, again: onAgain, fresh: onAgain, keep: leaveEditing, leave: onLeave, latest: () => setFollowing(true), menu: () => toggleSide(!("side" in root.dataset)) };
  for (const [id, call] of Object.entries(clicks)) page[id].addEventListener("click", call);
  page.models.addEventListener("change", () => { model = page.models.value; });
  watchFollowing(showLatest);
  window.addEventListener("popstate", () => open());
  window.addEventListener("storage", ({ key }) => { if (isList(key)) showChats(); });
  document.addEventListener("keydown", ({ key }) => { if (key === "Escape" && "side" in root.dataset) { toggleSide(false); page.menu.focus(); } });
  document.querySelector("main").addEventListener("click", () => toggleSide(false));
  page.examples.append(...EXAMPLES.map((textContent) => make("button", { type: "button", textContent, dir: "auto", onclick: () => askNext(textContent) })));
  // Notices stick to the upper edge of the footer, whose height depends on the question that is typed.
  new ResizeObserver(([{ target }]) => root.style.setProperty("--footer", target.offsetHeight + "px")).observe(document.querySelector("footer"));
}

if (asks) page.again.textContent = "New chat";
listen();
if (window.EventSource) open();
else {
  run = {};
  enter("unsupported", "This browser has no EventSource, which this page needs to receive the text. Every current browser has it.");
}
