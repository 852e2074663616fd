// The operator's page. It asks every two seconds for the state, the streams and the viewers of the server, and follows the raw
// events of one stream. Everything that comes from the server is written as text.
import { RawStream } from "./raw.js";

const base = new URL("..", import.meta.url); // <mount point>/admin/

const PAUSE = 2000; // Milliseconds between two rounds of questions.
const LONGEST_PAUSE = 10000; // Milliseconds.
const SHARE = 10; // A long round is followed by a pause that is so many times as long.
const PATIENCE = 10000; // Milliseconds. Time limit of a question.
const WINDOW = 10000; // Milliseconds. Rates are averages over this time.
const ROWS = 50; // Rows of a page of a table.
const LINES = 500; // Lines of raw events that are kept.
const LINE = 4000; // Characters of a line that are shown.
const TEXT = 20000; // Characters of the text of a stream that are kept.
const GATHER = 50; // Milliseconds. Lines of this time are added together.
const TYPE = 300; // Milliseconds. Pause that completes a name.
const KEY = "sseserver.operator";

const RATES = {
  tokens: "Tokens of runs",
  published: "Published entries",
  sentEntries: "Entries sent",
  sentBytes: "Bytes sent",
  runsStarted: "Runs started",
  viewersEnded: "Viewers that left",
  refusedRequests: "Requests refused",
};

const page = {};
for (const element of document.querySelectorAll("[id]")) page[element.id] = element;

const list = { url: null, next: null, place: 0 }; // The page of the streams that is shown.
const crowd = { place: 0, next: null }; // The page of the viewers that is shown.
let samples = []; // The counts of the last seconds.
let opened = null; // The stream that is shown.
let wake = () => {}; // Ends a pause that lasts until somebody looks.

class Denied extends Error {}
class Away extends Error {}

// Text.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

function formatNumber(number) {
  return number < 100 ? short.format(number) : whole.format(Math.round(number));
}

function formatBytes(bytes) {
  let unit = 0;
  for (; bytes >= 1000 && unit < 5; unit += 1) bytes /= 1024;
  return short.format(bytes) + " " + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit];
}

function formatTime(seconds) {
  if (seconds < 60) return Math.max(Math.round(seconds), 0) + " s";
  const units = [[86400, "d"], [3600, "h"], [60, "min"]];
  const place = units.findIndex(([size]) => seconds >= size);
  const [size, unit] = units[place];
  const [part, name] = units[place + 1] || [Infinity];
  const rest = Math.floor((seconds % size) / part);
  return Math.floor(seconds / size) + " " + unit + (rest ? " " + rest + " " + name : "");
}

function formatShare(share) {
  return share > 0 && share < 0.01 ? "under 1 %" : Math.round(100 * share) + " %";
}

// Characters that nobody sees, or that turn the text around them, are shown by their numbers.
function reveal(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => "\u27e8U+" + character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0") + "\u27e9");
}

function make(name, content = "", className = "") {
  const element = document.createElement(name);
  element.className = className;
  if (content !== "") element.append(content);
  return element;
}

// Text of a stranger: its direction does not change that of the text around it.
function isolate(text, className) {
  return make("bdi", reveal(text), className);
}

// A row with a header and one cell for each class.
function makeRow(header, ...classes) {
  const row = make("tr", make("th", header));
  row.firstChild.scope = "row";
  row.append(...classes.map((className) => make("td", "", className)));
  return row;
}

// A screen reader speaks a live region at each assignment, even of the same text.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function fill(row, ...texts) {
  texts.forEach((text, place) => write(row.children[place + 1], text));
}

// Questions.

async function ask(url, method = "GET") {
  const headers = { Accept: "application/json", ...authorize() };
  let response;
  try {
    response = await fetch(url, { method, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    throw new Away("The server does not answer. Trying again.");
  }
  const { ok, status } = response;
  const body = status === 204 ? {} : await response.json().catch(() => ({}));
  if (ok) return body;
  const message = (body.error && body.error.message) || "The server answers with status " + status + ".";
  if (status === 401 || (status === 403 && method === "GET")) throw new Denied(message);
  if (status >= 500 || status === 429) throw new Away(message);
  throw Object.assign(new Error(message), { status });
}

function locate(name, rest = "") {
  return new URL("../streams/" + name + rest, base);
}

function readKey() {
  try {
    return sessionStorage.getItem(KEY) || "";
  } catch (error) {
    return ""; // Storage is disabled.
  }
}

function keepKey(key) {
  try {
    sessionStorage.setItem(KEY, key);
  } catch (error) {
    tell("This browser stores nothing for this tab, so the page cannot use a key.");
  }
  page.forget.hidden = !key;
}

function authorize() {
  const key = readKey();
  return key ? { Authorization: "Bearer " + key } : {};
}

// Rounds. None begins in a hidden tab, or before a key is entered.

async function work() {
  for (let failures = 0; ;) {
    while (document.hidden || !page.login.hidden) await new Promise((resolve) => { wake = resolve; });
    const began = performance.now();
    try {
      await refresh();
      failures = 0;
      enter("live");
    } catch (error) {
      if (error instanceof Denied) {
        askForKey(error.message);
        continue;
      }
      failures += 1;
      enter("away", error.message);
    }
    const least = failures ? PAUSE * 2 ** (failures - 1) : Math.max(PAUSE, SHARE * (performance.now() - began));
    await new Promise((resolve) => { setTimeout(resolve, Math.min(least, LONGEST_PAUSE)); });
  }
}

async function refresh() {
  showStatus(await ask(new URL("status.json", base)));
  await refreshStreams();
  if (opened) await refreshOpened(opened);
  await refreshViewers();
}

function enter(state, message = "") {
  document.documentElement.dataset.state = state;
  write(page.state, { live: "Live", away: "Server away", locked: "Locked" }[state]);
  if (state !== "live" || page.notice.dataset.state !== "told") tell(message, state);
  if (state === "live") page.content.hidden = false;
}

function tell(message, state = "told") {
  page.notice.dataset.state = state;
  write(page.notice, message);
}

function askForKey(message) {
  if (opened) leave();
  page.content.hidden = true;
  page.login.hidden = false;
  enter("locked", readKey() ? message : "");
  keepKey("");
  page.key.focus();
}

// Do what the operator has asked for, between two rounds; return whether it is done.
async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    if (error instanceof Denied) askForKey(error.message);
    else tell(error.message);
    return false;
  }
}

// The state of the server.

function showStatus({ processes, silent }) {
  if (!processes.length) throw new Away("No process of the server answers. Trying again.");
  const time = performance.now();
  const group = processes.map(({ host, process }) => host + process).join();
  const counts = {};
  for (const each of processes) for (const [name, number] of Object.entries(each.counts)) counts[name] = (counts[name] || 0) + number;
  // The last sample counts, however old it is: a busy server is asked less often.
  samples = samples.filter((sample, place) => sample.group === group && (sample.time > time - WINDOW || place === samples.length - 1));
  samples.push({ time, group, counts });
  if (!page.format.options.length) {
    page.format.append(...processes[0].formats.map((name) => new Option(name)));
    page.format.value = "events";
  }
  const limits = addLimits(processes);
  showRates(processes, limits);
  showAbout(processes, silent);
  showLimits([...limits.values()]);
  showProcesses(processes);
}

function addLimits(processes) {
  const sums = new Map();
  for (const each of processes.flatMap(({ limits }) => limits)) {
    const sum = sums.get(each.name);
    if (!sum) sums.set(each.name, { ...each });
    else {
      sum.used += each.used;
      if (sum.limit !== null) sum.limit += each.limit;
    }
  }
  return sums;
}

function showRates(processes, limits) {
  const open = (kind) => whole.format(processes.reduce((sum, { streams }) => sum + streams[kind].open, 0));
  const [first, last] = [samples[0], samples[samples.length - 1]];
  const rates = Object.entries(RATES).map(([name, title]) => {
    const rate = (1000 * Math.max(last.counts[name] - first.counts[name], 0)) / (last.time - first.time);
    const format = name === "sentBytes" ? formatBytes : formatNumber;
    return [title, first === last ? "\u2013" : format(rate) + "/s"];
  });
  const viewers = whole.format(limits.get("viewers").used);
  showFacts(page.rates, [["Viewers", viewers], ["Open runs", open("runs")], ["Open published", open("published")], ...rates]);
}

function showFacts(element, facts) {
  if (element.childElementCount !== facts.length) {
    element.replaceChildren(...facts.map(() => make("div", make("dt"))));
    for (const each of element.children) each.append(make("dd", make("bdi")));
  }
  facts.forEach(([title, text, isBad], place) => {
    const [name, value] = element.children[place].children;
    write(name, title);
    write(value.firstChild, reveal(text));
    value.className = isBad ? "bad" : "";
  });
}

function showAbout(processes, silent) {
  const [one] = processes;
  const problems = processes.flatMap(({ worker, problems: found }) =>
    Object.entries(found).map(([part, text]) => (worker ? "worker " + worker + ", " : "") + part + ": " + text));
  problems.push(...silent.map((number) => "worker " + number + " does not answer"));
  showFacts(page.about, [
    ["Version", one.version + ", " + one.build + (one.speedups ? "" : ", no speedups")],
    ["Runs on", "Python " + one.python + ", Twisted " + one.twisted],
    one.worker ? ["Workers", processes.length + " on " + one.host] : ["Process", one.process + " on " + one.host],
    ["Up", formatTime(Math.max(...processes.map(({ time, started }) => time - started)))],
    ["Source", one.source],
    ["Store", one.store],
    ["Ready", problems.join(" ") || "yes", problems.length > 0],
  ]);
}

function showLimits(limits) {
  const nearest = limits.reduce((most, each) => (each.limit && each.used / each.limit > most.used / most.limit ? each : most));
  write(page.nearest, "nearest: " + nearest.title.toLowerCase() + ", " + formatShare(nearest.used / nearest.limit));
  sync(page.limits, limits, ({ name }) => name, ({ title }) => makeRow(title, "number", ""), (row, { title, used, limit, unit }) => {
    const format = unit === "bytes" ? formatBytes : formatNumber;
    fill(row, format(used) + (limit === null ? "" : " of " + format(limit)));
    if (!limit) return;
    const meter = row.lastChild.firstChild || row.lastChild.appendChild(make("meter"));
    Object.assign(meter, { max: limit, high: 0.9 * limit, value: used, title: formatShare(used / limit), ariaLabel: title });
  });
}

function showProcesses(processes) {
  const isPool = Boolean(processes[0].worker);
  page.processes.hidden = page.worker.hidden = page["worker-label"].hidden = !isPool;
  if (!isPool) return;
  const { value } = page.worker;
  const numbers = processes.map(({ worker }) => String(worker));
  if ([...page.worker.options].map((option) => option.value).join() !== numbers.join()) {
    page.worker.replaceChildren(...numbers.map((number) => new Option(number)));
    if (numbers.includes(value)) page.worker.value = value;
  }
  const create = ({ worker }) => makeRow("Worker " + worker, "number", "number", "number wide", "number", "wide");
  sync(page.workers, processes, ({ worker }) => worker, create, (row, each) => {
    const limits = addLimits([each]);
    const used = (name) => (limits.get(name) || { used: 0 }).used;
    const numbers = ["viewers", "runs", "connections"].map((name) => whole.format(used(name)));
    fill(row, ...numbers, formatBytes(used("memory")), formatTime(each.time - each.started));
  });
}

// Rows of a table. Those that stay keep their elements, and the focus.
function sync(body, items, keyOf, create, update) {
  const wanted = new Map(items.map((item) => [String(keyOf(item)), item]));
  for (const row of [...body.children]) if (!wanted.has(row.dataset.key)) row.remove();
  const rows = new Map([...body.children].map((row) => [row.dataset.key, row]));
  let place = 0;
  for (const [key, item] of wanted) {
    const row = rows.get(key) || create(item);
    row.dataset.key = key;
    if (body.children[place] !== row) body.insertBefore(row, body.children[place] || null);
    update(row, item);
    place += 1;
  }
}

// The place of a page in its list, and the buttons for the others.
function showPlace(name, { place, next }, shown, empty, order) {
  const range = whole.format(place + 1) + " to " + whole.format(place + shown);
  write(page[name + "-place"], shown ? range + order : empty);
  page[name + "-first"].disabled = !place;
  page[name + "-next"].disabled = next === null;
}

// The streams.

async function refreshStreams() {
  const url = list.url || locate("");
  if (!list.url) url.search = new URLSearchParams({ limit: ROWS, prefix: page.prefix.value, open: page.shown.value });
  const asked = list.asked = {};
  const { streams, next } = await ask(url);
  if (asked !== list.asked) return; // The operator has gone on meanwhile.
  list.next = next && Object.assign(locate(""), { search: new URL(next, base).search });
  const now = Date.now() / 1000;
  sync(page.streams, streams, ({ name, epoch }) => name + " " + epoch, createStream, (row, { name, open, bytes, created, ended }) => {
    row.className = open ? "" : "over";
    row.ariaCurrent = opened && opened.name === name ? "true" : null;
    write(row.children[2], open ? "open" : "ended " + formatTime(now - ended) + " ago");
    write(row.children[3], formatBytes(bytes));
    write(row.children[4], formatTime(now - created));
  });
  showPlace("streams", list, streams.length, "There are no such streams.", ", the newest first");
}

function createStream({ name, published }) {
  const link = make("a", isolate(name));
  link.href = "#" + encodeURIComponent(name);
  const row = makeRow(link, "wide", "", "number wide", "number");
  fill(row, published ? "published" : "run");
  return row;
}

function turn(url, place) {
  Object.assign(list, { url, place });
  attempt(refreshStreams);
}

// The stream that is opened.

function open(name) {
  leave();
  opened = { name, text: "", lines: [], isGone: false };
  page.stream.hidden = false;
  page["stream-title"].replaceChildren("Stream ", isolate(name));
  for (const element of [page.facts, page.text, page.raw, page.last]) element.replaceChildren();
  page.cancel.disabled = page.delete.disabled = false;
  page.whose.append(new Option(name));
  page.from.value = "";
  follow();
  attempt(() => refreshOpened(opened));
  page["stream-title"].focus();
}

function leave() {
  if (opened) opened.raw.stop();
  opened = null;
  page.stream.hidden = true;
  page.whose.length = 1;
}

async function refreshOpened(shown) {
  if (shown.isGone) return;
  const state = await ask(locate(shown.name)).catch((error) => {
    if (error.status !== 404) throw error;
    return null;
  });
  if (shown !== opened) return;
  shown.isGone = page.delete.disabled = !state;
  page.cancel.disabled = !state || state.state !== "open";
  const now = Date.now() / 1000;
  showFacts(page.facts, !state ? [["State", "no longer kept, or never made", true]] : [
    ["State", state.state, state.state === "failed"],
    ["Writer", state.published ? "published" : "run"],
    ["Entries", whole.format(state.entries) + (state.first > 1 ? ", from " + whole.format(state.first) + " on" : "")],
    ["Size", formatBytes(state.bytes)],
    ["Viewers", whole.format(state.viewers)],
    ["Created", formatTime(now - state.created) + " ago"],
    ["Ended", state.ended === null ? "\u2013" : formatTime(now - state.ended) + " ago"],
    ["Epoch", state.epoch],
    ...(state.question ? [["Question", state.question]] : []),
  ]);
}

function follow() {
  const shown = opened;
  const url = locate(shown.name);
  const resumes = page.from.value === "id";
  url.searchParams.set("format", page.format.value || "events");
  if (page.from.value === "now") url.searchParams.set("from", "now");
  const current = (call) => (...given) => { if (shown === opened && shown.raw === raw) call(...given); };
  const raw = new RawStream(url, authorize, {
    onLine: current((line) => addLine(makeLine(line))),
    onNote: current((text, isBad) => addLine(make("div", new Date().toTimeString().slice(0, 9) + reveal(text), isBad ? "note bad" : "note"))),
    onEvent: current(addText),
    onID: current((id) => write(page.last, reveal(id))),
    onEnd: current(() => write(page.connect, "Connect")),
  });
  shown.raw = raw;
  write(page.connect, "Disconnect");
  if (!resumes) page.text.textContent = shown.text = "";
  raw.run(resumes ? page.last.textContent : "");
}

function makeLine(line) {
  const colon = line.indexOf(":");
  const name = line.slice(0, colon < 0 ? LINE : colon + 1);
  const row = make("div", make("span", reveal(name), "field"));
  const more = line.length - name.length - LINE;
  row.append(isolate(line.slice(name.length, name.length + LINE), { "id:": "id", "event:": "event", ":": "field" }[name]));
  if (more > 0) row.append("\u2026 " + whole.format(more) + " more characters");
  return row;
}

function addLine(row) {
  if (!opened.lines.length) setTimeout(showLines, GATHER, opened);
  opened.lines.push(row);
  if (opened.lines.length > LINES) opened.lines.shift();
}

function showLines(shown) {
  if (shown !== opened) return;
  keepEnd(page.text, () => write(page.text, reveal(shown.text)));
  keepEnd(page.raw, () => {
    page.raw.append(...shown.lines.splice(0));
    while (page.raw.childElementCount > LINES) page.raw.firstChild.remove();
  });
}

function addText({ type, data }) {
  const { text } = opened;
  if (type === "stream" || type === "done") return;
  if (type === "message") opened.text = (page.format.value === "text" ? "" : text) + data;
  else opened.text += (text === "" || text.endsWith("\n") ? "" : "\n") + type + ": " + data + "\n";
  opened.text = opened.text.slice(-TEXT);
}

// Follow the end, unless the operator has scrolled up.
function keepEnd(element, change) {
  const atEnd = element.scrollHeight - element.clientHeight - element.scrollTop < 32; // Pixels. Less than two lines.
  change();
  if (atEnd) element.scrollTop = element.scrollHeight;
}

function confirm(question, label) {
  page.question.replaceChildren(...question);
  page.yes.textContent = label;
  page.confirm.returnValue = "";
  page.confirm.showModal();
  return new Promise((resolve) => { page.confirm.onclose = () => resolve(page.confirm.returnValue === "yes"); });
}

async function end(method, rest, verb, consequence) {
  const { name } = opened;
  if (!(await confirm([verb + " the stream ", isolate(name), "? " + consequence], verb))) return;
  if (!(await attempt(() => ask(locate(name, rest), method)))) return;
  tell("Done: " + verb.toLowerCase() + " the stream " + name + ".");
  await attempt(refreshStreams);
  if (opened && opened.name === name) await attempt(() => refreshOpened(opened));
}

// The viewers.

async function refreshViewers() {
  const url = new URL("viewers.json", base);
  url.search = new URLSearchParams({ limit: ROWS, after: crowd.place, stream: page.whose.value, worker: page.worker.value });
  const { viewers, total, next } = await ask(url);
  if (!viewers.length) crowd.place = 0;
  crowd.next = next;
  sync(page.viewers, viewers.map((viewer, place) => ({ ...viewer, place })), ({ place }) => place, createViewer, updateViewer);
  showPlace("viewers", crowd, viewers.length, "There are no viewers.", " of " + whole.format(total) + ", the oldest first");
}

function createViewer() {
  const row = makeRow(make("bdi"), "any", "wide", "number", "number wide", "number wide", "number");
  row.children[1].append(make("bdi"), " ", make("bdi", "", "place"));
  return row;
}

function updateViewer(row, { stream, format, address, principal, behind, sent, queued, isPaused, age }) {
  const [name, client, ...cells] = row.children;
  write(name.firstChild, stream === null ? "another answer" : reveal(stream));
  write(client.firstChild, reveal(principal || ""));
  write(client.lastChild, address || "local");
  const lag = behind === null ? "" : whole.format(behind) + (isPaused ? ", full" : "");
  [format || "", lag, formatBytes(queued), formatBytes(sent), age === null ? "" : formatTime(age)].forEach((text, place) => write(cells[place], text));
}

// What the operator does.

function onHash() {
  const [name] = /^[A-Za-z0-9._~-]{1,128}$/.exec(location.hash.slice(1)) || [""];
  if (!page.login.hidden) return;
  if (name) open(name);
  else if (opened) leave();
}

function on(name, type, call) {
  page[name].addEventListener(type, call);
}

let typing = 0;
on("prefix", "input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { if (page.prefix.checkValidity()) turn(null, 0); }, TYPE);
});
on("shown", "change", () => turn(null, 0));
on("filter", "submit", (event) => event.preventDefault());
on("streams-first", "click", () => turn(null, 0));
on("streams-next", "click", () => turn(list.next, list.place + ROWS));
on("viewers-first", "click", () => { crowd.place = 0; attempt(refreshViewers); });
on("viewers-next", "click", () => { crowd.place = crowd.next; attempt(refreshViewers); });
for (const name of ["whose", "worker"]) on(name, "change", () => { crowd.place = 0; attempt(refreshViewers); });
on("close", "click", () => { location.hash = ""; page["streams-title"].focus(); });
on("cancel", "click", () => end("POST", "/cancel", "Cancel", "Its writer is stopped, and its viewers are told. Its entries are kept."));
on("delete", "click", () => end("DELETE", "", "Delete", "Its writer is stopped, and nobody can read it any longer."));
on("connect", "click", () => (opened.raw.isOver ? follow() : opened.raw.stop()));
on("format", "change", () => { opened.raw.stop(); follow(); });
on("no", "click", () => page.confirm.close());
on("yes", "click", () => page.confirm.close("yes"));
on("login", "submit", (event) => {
  event.preventDefault();
  tell("");
  keepKey(page.key.value.trim());
  page.key.value = "";
  page.login.hidden = true;
  wake();
  onHash();
});
on("forget", "click", () => { keepKey(""); askForKey(""); });
document.addEventListener("visibilitychange", () => wake());
window.addEventListener("hashchange", onHash);

page.forget.hidden = !readKey();
onHash();
work();
