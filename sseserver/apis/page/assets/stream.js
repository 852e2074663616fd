// Follows one stream to its end: a run in the format "events", or a published stream in the format "entries". It reconnects until the
// server says that the stream has ended, or is gone.

import { ask, home, locate } from "./places.js";

const BUSY = "The server is busy. Trying again.";
const UNREACHABLE = "The server cannot be reached. Trying again.";
const PAUSE = 1000; // Milliseconds. Pause after the first attempt. Later ones are longer.
const LONGEST_PAUSE = 30000; // Milliseconds. Longest pause before a lost stream is looked for again.

function detail(event) {
  try {
    return JSON.parse(event.data) || {};
  } catch (error) {
    return {};
  }
}

export class Stream {
  // Without a name, it starts a run at the mount point. `viewer` has a method for each kind of event.
  constructor(name, viewer) {
    Object.assign(this, { name, viewer, tries: 0, opened: false, over: false, left: false, tokens: 0, restored: false });
  }

  leave() {
    this.left = true;
    if (this.source) this.source.close();
    clearTimeout(this.waiting);
  }

  // A new EventSource sends no Last-Event-ID, so the URL has the last ID. The browser's own reconnections send the header, which wins.
  follow() {
    if (!this.tries) this.viewer.enter("connecting");
    const url = this.name ? locate(this.name) : home();
    url.searchParams.set("format", this.published ? "entries" : "events");
    if (this.lastID) url.searchParams.set("last_event_id", this.lastID);
    this.source = new EventSource(url);
    this.listen(this.source);
  }

  // The EventSource is not closed when the stream ends. It reconnects once with the ID of the terminal event, and the
  // server's 204 closes it for good. A page that missed the terminal event gets it by the same reconnection.
  listen(source) {
    const { viewer } = this;
    const on = (type, call) => source.addEventListener(type, (event) => { if (!this.left) call(event); });
    on("open", () => this.onOpen());
    on("error", () => this.onError());
    on("stream", (event) => this.onStream(event));
    on("message", (event) => this.onMessage(event));
    on("chunk", (event) => { this.arrive(event); viewer.onChunk(detail(event)); });
    on("gap", (event) => { this.arrive(event); viewer.onGap(detail(event)); });
    on("restart", (event) => { this.arrive(event); viewer.onRestart(); });
    on("done", (event) => this.onDone(event));
    on("failed", (event) => this.end("failed", detail(event)));
    on("cancelled", (event) => this.end("stopped", detail(event)));
  }

  onOpen() {
    this.opened = true;
    if (this.name && !this.over) this.viewer.enter("streaming");
  }

  // After an error the EventSource reconnects by itself. Any answer but an event stream closes it for good: 204 after the end,
  // 404 for a stream that is gone, but also the 502 of a proxy whose server restarts.
  onError() {
    if (this.over) return; // The last reconnection, answered 204.
    if (this.source.readyState === EventSource.CLOSED) this.pause(BUSY);
    else this.retry(this.opened ? BUSY : UNREACHABLE);
  }

  // A page with a part of the text needs no explanation: the state says enough.
  retry(remark) {
    this.viewer.enter("reconnecting", this.lastID ? "" : remark);
  }

  // The first look is made at once: a stream that is gone need not be waited for.
  pause(remark) {
    this.retry(remark);
    const limit = this.tries && Math.min(PAUSE * 2 ** (this.tries - 1), LONGEST_PAUSE);
    this.tries += 1;
    this.waiting = setTimeout(() => this.find(), limit * (0.5 + Math.random() / 2)); // Jittered, since all pages lose a server at once.
  }

  // Ask for the state of a stream without a connection: it is gone, or it can be followed now, or later. A HEAD at the mount point
  // starts no run.
  async find() {
    if (!this.tries) this.viewer.enter("connecting");
    const options = this.name ? { headers: { Accept: "application/json" } } : { method: "HEAD", headers: { Accept: "text/event-stream" } };
    const { status, body } = await ask(this.name ? locate(this.name) : home(), options);
    if (this.left) return;
    if (status === 200) {
      this.published = Boolean(body.published);
      this.viewer.learn(body);
      this.follow();
    } else if (status === 404 || status === 410) this.lose();
    else if (!status || status === 429 || status >= 500) this.pause(status ? BUSY : UNREACHABLE);
    else if (status === 401) this.viewer.lock();
    else this.end("failed", { message: "The server does not show this answer (status " + status + ")." });
  }

  lose() {
    this.over = true;
    this.viewer.onLost();
  }

  // The first event of each response. Its ID is the place of this page: not the start, for a new viewer, if the start is trimmed.
  onStream(event) {
    const isNew = !this.lastID;
    const { state, url = "" } = detail(event);
    this.arrive(event);
    if (!this.name) this.given = url.slice(url.lastIndexOf("/") + 1);
    if (state === "open") this.over = false; // The stream may have been deleted and opened again.
    this.viewer.onStream({ isNew, isOpen: state === "open", isCut: isNew && this.tokens > 0 });
    if (!this.over) this.viewer.enter("streaming");
  }

  onMessage(event) {
    this.over = false;
    this.arrive(event);
    const { token, event: type, data = "" } = this.published ? detail(event) : { token: event.data };
    if (token === undefined) this.viewer.onEvent(type, data);
    else this.viewer.onText(this.published ? token.replace(/\r\n?/g, "\n") : token);
    this.viewer.enter("streaming");
  }

  onDone(event) {
    const told = detail(event);
    this.arrive(event);
    if (this.published) this.tokens -= 1; // The ID of this event counts it, too.
    else if (Number.isInteger(told.tokens)) this.tokens = told.tokens;
    this.end("finished", told);
  }

  end(state, told) {
    this.over = true;
    this.viewer.onEnd(state, told);
  }

  // An ID is <epoch>-<number of the last entry>. The rate is measured from the first token, not from the question.
  arrive(event) {
    const [, epoch, number] = /^(.+)-(\d+)$/.exec(event.lastEventId) || [];
    if (!epoch) return;
    this.tries = 0;
    this.lastID = event.lastEventId;
    if (epoch !== this.epoch || this.first.tokens === 0) this.first = { tokens: Number(number), time: event.timeStamp };
    this.epoch = epoch;
    this.tokens = Number(number);
    this.seconds = (event.timeStamp - this.first.time) / 1000;
  }

  // Entries for each second, or 0 if that cannot be told yet.
  get rate() {
    return this.seconds >= 0.5 ? (this.tokens - this.first.tokens) / this.seconds : 0;
  }
}
