// One event stream as it comes over the wire. An EventSource sends no credential and hides comments and reconnection times, so this
// reads the body of a fetch. It resumes as an EventSource does: after a lost connection, with the last event ID.

const RECONNECTION = 3000; // Milliseconds. Until the server names another time.
const LONGEST_PAUSE = 30000; // Milliseconds. Longest pause between two attempts.
const TERMINAL = ["done", "failed", "cancelled"];

export class RawStream {
  // Calls are `onLine(text)`, `onNote(text, isBad)`, `onEvent({ type, data })`, `onID(id)` and `onEnd()`.
  constructor(url, authorize, calls) {
    Object.assign(this, { url, authorize, calls, lastID: "", pause: RECONNECTION, failures: 0, isOver: false });
    this.stopping = new AbortController();
  }

  stop() {
    this.isOver = true;
    this.stopping.abort();
  }

  async run(lastID = "") {
    this.lastID = lastID;
    while (!this.isOver) {
      let problem = "";
      try {
        await this.read();
      } catch (error) {
        problem = "The server does not answer";
      }
      if (this.isOver) break;
      if (problem) this.failures += 1;
      const wait = problem ? Math.min(this.pause * 2 ** (this.failures - 1), LONGEST_PAUSE) : this.pause;
      this.calls.onNote((problem || "The connection has ended") + ". Reconnecting in " + (wait / 1000).toFixed(1) + " s.", true);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.stopping.signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
      });
    }
    this.calls.onEnd();
  }

  async read() {
    const headers = { ...this.authorize(), Accept: "text/event-stream" };
    if (this.lastID) headers["Last-Event-ID"] = this.lastID;
    const response = await fetch(this.url, { headers, cache: "no-store", signal: this.stopping.signal });
    const { status } = response;
    if (status === 401 || status === 403) this.finish("The credential may not read this stream (" + status + ").", true);
    else if (status === 404) this.finish("There is no such stream (404).", true);
    else if (status === 204) this.finish("Nothing follows (204): the stream has ended.");
    else if (!response.ok) throw new Error(status);
    if (this.isOver) return;
    this.failures = 0;
    this.calls.onNote(this.lastID ? "Resumed after " + this.lastID + "." : "Connected.");
    await this.readBody(response.body.getReader());
  }

  finish(text, isBad = false) {
    this.isOver = true;
    this.calls.onNote(text, isBad);
  }

  // Lines end with CR LF, CR or LF. A CR at the end of a piece may be half of a line end.
  async readBody(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    let hasIDs = false;
    this.event = { type: "", data: [], id: null };
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const end = done || !rest.endsWith("\r") ? rest.length : rest.length - 1;
      const lines = rest.slice(0, end).split(/\r\n|\r|\n/);
      rest = lines.pop() + rest.slice(end);
      for (const line of lines) {
        this.calls.onLine(line);
        if (line.startsWith("id:")) hasIDs = true;
        if (this.take(line)) return this.finish("The stream has ended.");
      }
      if (done) break;
    }
    // Without IDs there is nothing to resume.
    if (!hasIDs && !this.lastID) this.finish("The response has ended.");
    return undefined;
  }

  // Take a line; return whether it completes the terminal event.
  take(line) {
    const [, name, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (line === "") return this.dispatch();
    if (name === "data") this.event.data.push(value);
    else if (name === "event") this.event.type = value;
    else if (name === "id") this.event.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.pause = Math.max(Number(value), 1000);
    return false;
  }

  dispatch() {
    const { type, data, id } = this.event;
    this.event = { type: "", data: [], id: null };
    if (id !== null) {
      this.lastID = id;
      this.calls.onID(id);
    }
    if (data.length) this.calls.onEvent({ type: type || "message", data: data.join("\n") });
    return TERMINAL.includes(type);
  }
}
