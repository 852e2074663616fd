// The page of sseserver. It follows one stream: a run in the format "events", whose tokens it appends to the text, or a published
// stream in the format "entries". If the token source takes prompts, the page is a chat: each answer is a stream of its own, shown
// below the earlier turns.
"use strict";

(() => {
  // The mount point of the server, found from the URL of this file.
  const base = new URL("..", document.currentScript.src);
  const streams = new URL("streams/", base);

  // A signed link has its rights in the query of the page. They are for the stream of that page.
  const link = [...new URLSearchParams(location.search)].filter(([name]) => ["rights", "streams", "expires", "sig"].includes(name));
  const linked = nameOf(location);

  function nameOf(place) {
    return place.pathname.startsWith(streams.pathname) ? place.pathname.slice(streams.pathname.length).replace(/\/$/, "") : "";
  }

  function locate(name) {
    const url = new URL(streams + name);
    if (name === linked) for (const [member, value] of link) url.searchParams.set(member, value);
    return url;
  }

  // Whether the token source takes prompts. If so, no run starts before the first question.
  const asks = "asks" in document.documentElement.dataset;

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
    unsupported: { label: "Not supported" },
  };

  const CANCELLED = {
    linger: "The server stopped this answer because nobody was watching.",
    idle: "The server closed this stream because nothing was published into it.",
    deleted: "This answer was deleted from the server.",
  };

  const BUSY = "The server is busy. Trying again.";
  const UNREACHABLE = "The server cannot be reached. Trying again.";

  const EVENTS_KEPT = 1000; // Published events. The oldest ones leave the page, which may stay open for weeks.

  const SPEAK_EVERY = 3000; // Milliseconds. Phrases that arrive faster are spoken together.
  const SPOKEN_KEPT = 5; // Phrases. A screen reader that browses the page would read older ones a second time.

  const ATTEMPTS = 5; // Number of times that a question is sent until the server answers.
  const PATIENCE = 15000; // Milliseconds. Time limit of an attempt: a dead connection may go unnoticed.
  const PAUSE = 1000; // Milliseconds. Pause after the first attempt. Later ones are longer.
  const LONGEST_PAUSE = 30000; // Milliseconds. Longest pause before a lost stream is looked for again.

  const IDS = ["state", "welcome", "turns", "gap", "text", "verdict", "remark", "ask", "field", "send", "counts", "link", "copy", "stop", "again", "spoken"];
  const page = {};
  for (const id of IDS) page[id] = document.getElementById(id);

  let run; // State of the stream being shown.
  let sent; // The last question, until the server has confirmed it.

  // Show the stream that the URL names: <base>streams/NAME. At <base> itself, start a run, or wait for a question.
  function open(turns) {
    leave();
    const name = nameOf(location);
    const started = Boolean(turns || (read(name) || {}).started);
    turns = turns || recall(name);
    run = { name, started, linked: name !== "" && !started, turn: turns.pop(), turns, text: "", unspoken: "", tries: 0, opened: false, over: false };
    for (const element of [page.text, page.gap, page.counts, page.spoken, page.verdict]) element.textContent = "";
    page.stop.disabled = false;
    page.link.hidden = true;
    showTurns();
    if (asks) showField();
    if (asks && !name) wait();
    else if (run.linked) find(run);
    else follow();
  }

  function leave() {
    if (!run) return;
    if (run.source) run.source.close();
    clearTimeout(run.speaking);
    clearTimeout(run.waiting);
  }

  function wait() {
    enter("ready");
    page.field.focus();
  }

  // A new EventSource sends no Last-Event-ID, so the URL has the last ID. The browser's own reconnections send the header, which wins.
  function follow() {
    if (!run.tries) enter("connecting");
    if (run.turn && !run.tries) window.scrollTo(0, document.documentElement.scrollHeight);
    const url = run.name ? locate(run.name) : new URL(base);
    url.searchParams.set("format", run.published ? "entries" : "events");
    if (run.lastID) url.searchParams.set("last_event_id", run.lastID);
    run.source = new EventSource(url);
    listen(run.source);
  }

  // The EventSource is not closed when the stream ends. It reconnects once with the ID of the terminal event, and the
  // server's 204 closes it for good. A page that missed the terminal event gets it by the same reconnection.
  function listen(source) {
    source.addEventListener("open", onOpen);
    source.addEventListener("error", onError);
    source.addEventListener("stream", onStream);
    source.addEventListener("message", onMessage);
    source.addEventListener("gap", onGap);
    source.addEventListener("restart", onRestart);
    source.addEventListener("done", onDone);
    source.addEventListener("failed", (event) => end("failed", detail(event).message || "The server gave no reason."));
    source.addEventListener("cancelled", (event) => end("stopped", CANCELLED[detail(event).reason]));
  }

  function enter(state, remark = "") {
    const { label, live, idle } = STATES[state];
    run.state = state;
    document.documentElement.dataset.state = state;
    write(page.state, label);
    write(page.remark, remark);
    show(page.stop, live && run.name && run.started);
    show(page.copy, run.name && state !== "lost");
    show(page.again, asks ? run.name : idle);
    show(page.send, !live);
    page.send.disabled = page.field.readOnly = state === "sending";
  }

  // A screen reader speaks a live region at each assignment, even of the same text.
  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // Move the focus away from a button that is about to disappear; it would return to the top of the page.
  function show(button, wanted) {
    if (!wanted && button === document.activeElement) (page.ask.hidden ? page.text : page.field).focus({ preventScroll: true });
    button.hidden = !wanted;
  }

  function onOpen() {
    run.opened = true;
    if (run.name && !run.over) enter("streaming");
  }

  // After an error the EventSource reconnects by itself. Any answer but an event stream closes it for good: 204 after the end,
  // 404 for a stream that is gone, but also the 502 of a proxy whose server restarts.
  function onError() {
    if (run.over) return; // The last reconnection, answered 204.
    if (run.source.readyState === EventSource.CLOSED) pause(run, BUSY);
    else retry(run.opened ? BUSY : UNREACHABLE);
  }

  // A page with a part of the text needs no explanation: the state says enough.
  function retry(remark) {
    enter("reconnecting", run.lastID ? "" : remark);
  }

  // The first look is made at once: a stream that is gone need not be waited for.
  function pause(lost, remark) {
    retry(remark);
    const limit = lost.tries && Math.min(PAUSE * 2 ** (lost.tries - 1), LONGEST_PAUSE);
    lost.tries += 1;
    lost.waiting = setTimeout(() => find(lost), limit * (0.5 + Math.random() / 2)); // Jittered, since all pages lose a server at once.
  }

  // Ask for the state of a stream without a connection: it is gone, or it can be followed now, or later.
  async function find(lost) {
    if (!lost.tries) enter("connecting");
    const { status, state } = await look(lost.name);
    if (lost !== run) return; // The visitor has navigated away.
    if (status === 200) {
      learn(state);
      follow();
    } else if (status === 404 || status === 410) onLost();
    else if (!status || status === 429 || status >= 500) pause(lost, status ? BUSY : UNREACHABLE);
    else end("failed", "The server does not show this answer (status " + status + ").");
  }

  // The status is 0 without an answer of this server: none at all, or the page of a proxy. A HEAD at <base> starts no run.
  async function look(name) {
    const options = { headers: { Accept: name ? "application/json" : "text/event-stream" }, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) };
    try {
      if (!name) return await fetch(base, { method: "HEAD", ...options });
      const response = await fetch(locate(name), options);
      return { status: response.status, state: response.ok ? await response.json() : null };
    } catch (error) {
      return { status: 0 };
    }
  }

  function learn(state) {
    if (!state) return;
    run.published = state.published;
    if (!asks || run.turn || !state.question) return;
    run.turn = { question: state.question };
    showTurns();
    showField();
  }

  function onLost() {
    if (!run.text && run.turn && run.turn.answer) {
      append(run.turn.answer);
      end("lost", "The server no longer has this answer. The text above is the copy kept by this browser.");
    } else if (run.lastID) end("lost", "The server no longer has this answer. The text above is the part that arrived.");
    else end("lost", run.linked ? "The server does not have this answer." : "The server no longer has this answer.");
  }

  // The first event of each response. Its ID is the place of this page: not the start, for a new viewer, if the start is trimmed.
  function onStream(event) {
    const fresh = !run.lastID;
    arrive(event);
    if (fresh && run.tokens) page.gap.textContent = "The beginning of the text is no longer kept.";
    if (!run.name) showAddress(run.epoch);
    if (detail(event).state === "open") run.over = false; // The stream may have been deleted and opened again.
    if (!run.over) enter("streaming");
  }

  function onMessage(event) {
    run.over = false;
    arrive(event);
    showCounts();
    const { token, event: type, data } = run.published ? detail(event) : { token: event.data };
    if (token === undefined) appendEvent(type, data);
    else append(run.published ? token.replace(/\r\n?/g, "\n") : token);
    enter("streaming");
    speakSoon();
  }

  function onGap(event) {
    const { reason, missed } = detail(event);
    arrive(event);
    if (reason === "trimmed") {
      page.gap.textContent = "Part of the text is missing" + (missed ? " (" + missed + " tokens)." : ".");
    } else {
      page.gap.textContent = run.text ? "The server could not continue at the position of this page. The text has been replaced." : "";
      page.text.textContent = run.text = run.unspoken = "";
    }
  }

  // The server that wrote the answer is gone, and another one has begun it anew.
  function onRestart(event) {
    arrive(event);
    page.gap.textContent = run.text ? "The server was interrupted. The answer has begun anew." : page.gap.textContent;
    page.text.textContent = run.text = run.unspoken = "";
  }

  function onDone(event) {
    const { tokens } = detail(event);
    arrive(event);
    if (run.published) run.tokens -= 1; // The ID of this event counts it, too.
    else if (Number.isInteger(tokens)) run.tokens = tokens;
    showCounts();
    end("finished");
  }

  function end(state, verdict = "") {
    run.over = true;
    clearTimeout(run.speaking);
    speak(run.unspoken);
    scroll(() => write(page.verdict, verdict));
    page.verdict.classList.toggle("bad", state === "failed");
    if (run.turn) keep(run.name, { ...packTurn(run), started: run.started });
    enter(state);
  }

  // The turn of a run with everything that is shown below its question.
  function packTurn({ turn, text }) {
    return { ...turn, answer: text, gap: page.gap.textContent, verdict: page.verdict.textContent, bad: page.verdict.className.includes("bad") };
  }

  function detail(event) {
    try {
      return JSON.parse(event.data) || {};
    } catch (error) {
      return {};
    }
  }

  // An ID is <epoch>-<number of the last entry>. The rate is measured from the first token, not from the question.
  function arrive(event) {
    const [, epoch, number] = /^(.+)-(\d+)$/.exec(event.lastEventId) || [];
    if (!epoch) return;
    run.tries = 0;
    run.lastID = event.lastEventId;
    if (epoch !== run.epoch || run.first.tokens === 0) run.first = { tokens: Number(number), time: event.timeStamp };
    run.epoch = epoch;
    run.tokens = Number(number);
    run.seconds = (event.timeStamp - run.first.time) / 1000;
  }

  // After this, a reload shows the stream from its start instead of starting another run.
  function showAddress(name) {
    run.name = name;
    run.started = true;
    keep(name, { started: true });
    history.replaceState(null, "", streams + name);
  }

  function showCounts() {
    const rate = run.seconds >= 0.5 ? (run.tokens - run.first.tokens) / run.seconds : 0;
    const unit = run.published ? "event" : "token";
    const parts = [run.tokens === 1 ? "1 " + unit : (run.tokens || 0).toLocaleString("en") + " " + unit + "s"];
    if (rate > 0) parts.push((rate < 100 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en")) + " per second");
    write(page.counts, parts.join(" · "));
  }

  // Appending to the text node preserves the reader's selection.
  function append(text) {
    scroll(() => {
      const { lastChild } = page.text;
      if (lastChild && lastChild.nodeType === Node.TEXT_NODE) lastChild.appendData(text);
      else page.text.append(text);
    });
    run.text += text;
    run.unspoken += text;
  }

  // Published events have a line each, with their type.
  function appendEvent(type, data = "") {
    scroll(() => {
      const element = page.text.appendChild(document.createElement("p"));
      element.className = "event";
      if (type !== "message") {
        element.appendChild(document.createElement("b")).textContent = type;
        element.append(" "); // For those who copy the text.
      }
      element.append(data);
      if (page.text.childNodes.length > EVENTS_KEPT) page.text.firstChild.remove();
    });
    run.unspoken += data + "\n";
  }

  // Follow the end of the text, but do not scroll away from a reader who has scrolled up.
  function scroll(change) {
    const root = document.documentElement;
    const atEnd = root.scrollHeight - root.clientHeight - window.scrollY < 32; // Pixels. Less than two lines.
    change();
    if (atEnd) window.scrollTo(0, root.scrollHeight);
  }

  function speakSoon() {
    if (!run.speaking && run.unspoken) run.speaking = setTimeout(speakPhrase, SPEAK_EVERY);
  }

  // Speak up to the end of the last complete sentence, or else up to the last complete word.
  function speakPhrase() {
    run.speaking = 0;
    const rest = run.unspoken;
    const [phrase] = /^[^]*(?:[.!?…:;]["'”’)\]]*\s|[。！？\n])/.exec(rest) || /^[^]*\s/.exec(rest) || [""];
    if (!phrase) return;
    speak(phrase);
    speakSoon();
  }

  function speak(phrase) {
    run.unspoken = run.unspoken.slice(phrase.length);
    if (phrase.trim()) say(phrase);
  }

  function say(phrase) {
    page.spoken.appendChild(document.createElement("p")).textContent = phrase;
    if (page.spoken.childElementCount > SPOKEN_KEPT) page.spoken.firstChild.remove();
  }

  function showTurns() {
    page.turns.replaceChildren();
    for (const { question, answer, gap, verdict, bad } of run.turns) {
      showTurn("question", "You asked", question);
      if (gap) showNotice(gap);
      showTurn("answer", "The answer", answer);
      if (verdict) showNotice(verdict, bad);
    }
    if (run.turn) showTurn("question", run.linked ? "The question" : "You asked", run.turn.question);
  }

  function showTurn(kind, title, text) {
    const heading = page.turns.appendChild(document.createElement("h2"));
    heading.className = "unseen";
    heading.textContent = title;
    const element = page.turns.appendChild(document.createElement("p"));
    element.className = kind;
    element.dir = "auto";
    element.textContent = text;
  }

  function showNotice(text, bad = false) {
    const element = page.turns.appendChild(document.createElement("p"));
    element.className = bad ? "notice bad" : "notice";
    element.textContent = text;
  }

  // A visitor who came by a link can continue the chat from the question and the answer, once the server has told the question.
  function showField() {
    page.welcome.hidden = run.name !== "";
    page.ask.hidden = run.name !== "" && !run.turn;
    (page.ask.hidden ? page.copy : page.send).after(page.stop);
  }

  function onKey(event) {
    const composing = event.isComposing || event.keyCode === 229; // In Safari the Enter that ends a composition has 229.
    if (event.key === "Enter" && !event.shiftKey && !composing) onAsk(event);
  }

  async function onAsk(event) {
    event.preventDefault();
    const asked = run;
    const { state } = asked;
    const question = page.field.value.trimEnd();
    if (!question || !STATES[state].idle) return;
    const turns = asked.turn ? [...asked.turns, packTurn(asked)] : [];
    const body = JSON.stringify({ messages: messages(turns, question) });
    if (!sent || sent.body !== body) sent = { body, key: makeKey() };
    page.field.focus();
    enter("sending");
    const { name, error } = await send(asked);
    if (asked !== run) return; // The visitor has navigated away.
    if (name) showNext(name, [...turns, { question, after: asked.name }]);
    else enter(state, (error && error.message) || "The server did not accept the question.");
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
    const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
    for (let attempt = 1; asked === run; attempt += 1) {
      try {
        const response = await fetch(streams, { method: "POST", headers, body, signal: AbortSignal.timeout(PATIENCE) });
        const { name, error } = await response.json();
        return { name, error };
      } catch (error) {
        if (attempt === ATTEMPTS) break;
        if (asked === run) write(page.remark, UNREACHABLE);
        await new Promise((resolve) => { setTimeout(resolve, PAUSE * attempt); });
      }
    }
    return { error: { message: "The server cannot be reached. Your question is still in the field. Send it again in a moment." } };
  }

  function showNext(name, turns) {
    sent = null;
    keep(name, { ...turns[turns.length - 1], started: true });
    history.pushState(null, "", streams + name);
    page.field.value = "";
    fit();
    open(turns);
  }

  // Grow the field with its text.
  function fit() {
    page.field.style.height = "auto";
    page.field.style.height = page.field.scrollHeight + page.field.offsetHeight - page.field.clientHeight + "px";
  }

  // Only this window knows the conversation. Each turn is stored under the path of its stream, with the name of the turn before,
  // and whether it was started here: only then the page offers to stop it.
  function keep(name, turn) {
    const value = JSON.stringify({ ...turn, time: Date.now() });
    for (;;) {
      try {
        sessionStorage.setItem(streams.pathname + name, value);
        return;
      } catch (error) {
        if (!dropOldest()) return; // Storage is too small or disabled: a reload shows the answer only.
      }
    }
  }

  function dropOldest() {
    try {
      const keys = Object.keys(sessionStorage).filter((key) => key.startsWith(streams.pathname));
      const ages = keys.map((key) => [JSON.parse(sessionStorage.getItem(key)).time, key]);
      const [oldest] = ages.sort(([one], [other]) => one - other);
      if (oldest) sessionStorage.removeItem(oldest[1]);
      return Boolean(oldest);
    } catch (error) {
      return false;
    }
  }

  function recall(name) {
    const turns = [];
    for (let turn = read(name); turn && turn.question; turn = read(turn.after)) turns.unshift(turn);
    return turns;
  }

  function read(name) {
    try {
      return JSON.parse(sessionStorage.getItem(streams.pathname + name));
    } catch (error) {
      return null;
    }
  }

  async function onStop() {
    const asked = run;
    page.stop.disabled = true;
    try {
      const response = await fetch(streams + asked.name + "/cancel", { method: "POST" });
      if (!response.ok) throw new Error(response.statusText);
    } catch (error) {
      if (asked !== run || run.over) return;
      page.stop.disabled = false;
      write(page.remark, "The stop request did not reach the server.");
    }
  }

  async function onCopy() {
    const link = locate(run.name).href; // Of a signed link, its copy with the rights.
    try {
      await navigator.clipboard.writeText(link); // Undefined on pages served over plain HTTP by another machine.
      page.copy.textContent = "Copied";
      say("Link copied");
      setTimeout(() => { page.copy.textContent = "Copy link"; }, 2000); // Milliseconds.
    } catch (error) {
      page.link.value = link;
      page.link.hidden = false;
      page.link.select();
    }
  }

  function onAgain() {
    history.pushState(null, "", base);
    open();
  }

  page.ask.addEventListener("submit", onAsk);
  page.field.addEventListener("keydown", onKey);
  page.field.addEventListener("input", fit);
  page.stop.addEventListener("click", onStop);
  page.copy.addEventListener("click", onCopy);
  page.again.addEventListener("click", onAgain);

  window.addEventListener("popstate", () => open());
  if (asks) page.again.textContent = "New chat";

  // Notices stick to the upper edge of the footer, whose height depends on the question that is typed.
  new ResizeObserver(([{ target }]) => {
    document.documentElement.style.setProperty("--footer", target.offsetHeight + "px");
  }).observe(document.querySelector("footer"));

  if (window.EventSource) {
    open();
  } else {
    run = {};
    enter("unsupported", "This browser has no EventSource, which this page needs to receive the text. Every current browser has it.");
  }
})();
