// The page of sseserver. It follows one stream in the format "text", whose events have the entire text so far. If the token
// source takes prompts, the page is a chat: each answer is a stream of its own, shown below the earlier turns.
"use strict";

(() => {
  // The mount point of the server, found from the URL of this file.
  const base = new URL("..", document.currentScript.src);
  const streams = new URL("streams/", base);

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
    deleted: "This answer was deleted from the server.",
  };

  const SPEAK_EVERY = 3000; // Milliseconds. Phrases that arrive faster are spoken together.
  const SPOKEN_KEPT = 5; // Phrases. A screen reader that browses the page would read older ones a second time.

  const ATTEMPTS = 5; // Number of times that a question is sent until the server answers.
  const PATIENCE = 15000; // Milliseconds. Time limit of an attempt: a dead connection may go unnoticed.
  const PAUSE = 1000; // Milliseconds. Pause after the first attempt; each later pause is longer by this.

  const IDS = ["state", "welcome", "turns", "gap", "text", "notice", "ask", "field", "send", "counts", "link", "copy", "stop", "again", "spoken"];
  const page = {};
  for (const id of IDS) page[id] = document.getElementById(id);

  let run; // State of the stream being shown.
  let sent; // The last question, until the server has confirmed it.

  // Show the stream that the URL names: <base>streams/NAME. At <base> itself, start a run, or wait for a question.
  function open(turns) {
    leave();
    const name = location.pathname.startsWith(streams.pathname) ? location.pathname.slice(streams.pathname.length).replace(/\/$/, "") : "";
    turns = turns || recall(name);
    run = { name, linked: name !== "", turn: turns.pop(), turns, text: "", spoken: 0, opened: false, over: false };
    page.text.textContent = page.gap.textContent = page.counts.textContent = page.spoken.textContent = "";
    page.stop.disabled = false;
    page.link.hidden = true;
    showTurns();
    if (asks) showField();
    if (asks && !name) wait();
    else follow(name ? streams + name + "?format=text" : base);
  }

  function leave() {
    if (!run) return;
    if (run.source) run.source.close();
    clearTimeout(run.speaking);
  }

  function wait() {
    enter("ready");
    page.field.focus();
  }

  function follow(url) {
    enter("connecting");
    if (run.turn) window.scrollTo(0, document.documentElement.scrollHeight);
    run.source = new EventSource(url);
    listen(run.source);
  }

  // The EventSource is not closed when the stream ends. It reconnects once with the ID of the terminal event, and the
  // server's 204 closes it for good. A page that missed the terminal event gets it by the same reconnection.
  function listen(source) {
    source.addEventListener("open", onOpen);
    source.addEventListener("error", onError);
    source.addEventListener("message", onText);
    source.addEventListener("gap", onGap);
    source.addEventListener("done", onDone);
    source.addEventListener("failed", (event) => end("failed", detail(event).message || "The server gave no reason."));
    source.addEventListener("cancelled", (event) => end("stopped", CANCELLED[detail(event).reason]));
  }

  function enter(state, notice = "") {
    const { label, live, idle } = STATES[state];
    run.state = state;
    document.documentElement.dataset.state = state;
    write(page.state, label);
    write(page.notice, notice);
    show(page.stop, live && run.name);
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

  function onError() {
    if (run.over) return; // The last reconnection, answered 204.
    if (run.source.readyState === EventSource.CLOSED) onRefused();
    else if (run.epoch) enter("reconnecting");
    else enter("reconnecting", run.opened ? "The server is busy. Trying again." : "The server cannot be reached. Trying again.");
  }

  // Closed for good without a terminal event. After a restart, for example, the server does not know the stream.
  function onRefused() {
    if (!run.text && run.turn && run.turn.answer) {
      showText(run.turn.answer);
      end("lost", "The server no longer has this answer. The text above is the copy kept by this browser.");
    } else if (run.epoch) end("lost", "The server no longer has this answer. The text above is the part that arrived.");
    else if (run.linked) end("lost", "The server does not have this answer.");
    else end("failed", "The server did not start an answer. Try again in a moment.");
  }

  function onText(event) {
    run.over = false; // The stream may have been deleted and opened again.
    count(event);
    showText(event.data);
    enter("streaming");
    speakSoon();
  }

  function onGap(event) {
    const { reason, missed } = detail(event);
    if (reason !== "trimmed") page.gap.textContent = "The server could not continue at the position of this page. The text has been replaced.";
    else page.gap.textContent = "Part of the text is missing" + (missed ? " (" + missed + " tokens)." : ".");
  }

  function onDone(event) {
    const { tokens } = detail(event);
    if (Number.isInteger(tokens)) run.tokens = tokens;
    showCounts();
    end("finished");
  }

  function end(state, notice) {
    run.over = true;
    clearTimeout(run.speaking);
    speak(run.text.slice(run.spoken));
    if (run.turn) keep(run.name, { ...run.turn, answer: run.text });
    enter(state, notice);
  }

  function detail(event) {
    try {
      return JSON.parse(event.data) || {};
    } catch (error) {
      return {};
    }
  }

  // An ID is <epoch>-<number of the last token>. The rate is measured from the first token, not from the question.
  function count(event) {
    const [, epoch, number] = /^(.+)-(\d+)$/.exec(event.lastEventId) || [];
    if (!epoch) return;
    if (epoch !== run.epoch || run.first.tokens === 0) run.first = { tokens: Number(number), time: event.timeStamp };
    run.epoch = epoch;
    if (!run.name) showAddress(epoch);
    run.tokens = Number(number);
    run.seconds = (event.timeStamp - run.first.time) / 1000;
    showCounts();
  }

  // After this, a reload shows the stream from its start instead of starting another run.
  function showAddress(name) {
    run.name = name;
    history.replaceState(null, "", streams + name);
  }

  function showCounts() {
    const rate = run.seconds >= 0.5 ? (run.tokens - run.first.tokens) / run.seconds : 0;
    const parts = [run.tokens === 1 ? "1 token" : (run.tokens || 0).toLocaleString("en") + " tokens"];
    if (rate > 0) parts.push((rate < 100 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en")) + " per second");
    write(page.counts, parts.join(" · "));
  }

  // Append to the text node, which preserves the reader's selection. Replace it only if the text is a different one.
  function showText(text) {
    const root = document.documentElement;
    const atEnd = root.scrollHeight - root.clientHeight - window.scrollY < 32; // Pixels. Less than two lines.
    if (run.text && text.startsWith(run.text)) {
      page.text.firstChild.appendData(text.slice(run.text.length));
    } else {
      page.text.textContent = text;
      run.spoken = 0;
    }
    run.text = text;
    if (atEnd) window.scrollTo(0, root.scrollHeight); // Do not scroll away from a reader who has scrolled up.
  }

  function speakSoon() {
    if (!run.speaking && run.spoken < run.text.length) run.speaking = setTimeout(speakPhrase, SPEAK_EVERY);
  }

  // Speak up to the end of the last complete sentence, or else up to the last complete word.
  function speakPhrase() {
    run.speaking = 0;
    const rest = run.text.slice(run.spoken);
    const [phrase] = /^[^]*(?:[.!?…:;]["'”’)\]]*\s|[。！？\n])/.exec(rest) || /^[^]*\s/.exec(rest) || [""];
    if (!phrase) return;
    speak(phrase);
    speakSoon();
  }

  function speak(phrase) {
    run.spoken += phrase.length;
    if (phrase.trim()) say(phrase);
  }

  function say(phrase) {
    page.spoken.appendChild(document.createElement("p")).textContent = phrase;
    if (page.spoken.childElementCount > SPOKEN_KEPT) page.spoken.firstChild.remove();
  }

  function showTurns() {
    page.turns.replaceChildren();
    for (const { question, answer } of run.turns) {
      showTurn("question", "You asked", question);
      showTurn("answer", "The answer", answer);
    }
    if (run.turn) showTurn("question", "You asked", run.turn.question);
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

  // A visitor who came by a link sees no question, and cannot continue the chat.
  function showField() {
    page.welcome.hidden = run.linked;
    page.ask.hidden = run.linked && !run.turn;
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
    const turns = asked.turn ? [...asked.turns, { ...asked.turn, answer: asked.text }] : [];
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
        if (asked === run) write(page.notice, "The server cannot be reached. Trying again.");
        await new Promise((resolve) => { setTimeout(resolve, PAUSE * attempt); });
      }
    }
    return { error: { message: "The server cannot be reached. Your question is still in the field. Send it again in a moment." } };
  }

  function showNext(name, turns) {
    sent = null;
    keep(name, turns[turns.length - 1]);
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

  // Only this window knows the questions. Each turn is stored under the path of its stream, with the name of the turn before.
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
    for (let turn = read(name); turn; turn = read(turn.after)) turns.unshift(turn);
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
      page.notice.textContent = "The stop request did not reach the server.";
    }
  }

  async function onCopy() {
    const link = streams + run.name;
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

  if (window.EventSource) {
    open();
  } else {
    run = {};
    enter("unsupported", "This browser has no EventSource, which this page needs to receive the text. Every current browser has it.");
  }
})();
