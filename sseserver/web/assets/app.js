// The page of sseserver: shows one stream in format "text", in which each event is the whole text so far.
"use strict";

(() => {
  // The server may be mounted below any path; this file's own URL tells where.
  const base = new URL("..", document.currentScript.src);
  const streams = new URL("streams/", base);

  // The stream in the address bar (<base>streams/NAME), or "" when this page is to start a run of its own.
  const watched = location.pathname.startsWith(streams.pathname) ? location.pathname.slice(streams.pathname.length) : "";

  const STATES = {
    connecting: { label: "Connecting", live: true },
    streaming: { label: "Streaming", live: true },
    reconnecting: { label: "Reconnecting", live: true },
    finished: { label: "Finished", ended: true },
    failed: { label: "Failed", ended: true },
    stopped: { label: "Stopped", ended: true },
    lost: { label: "Lost", ended: true },
    unsupported: { label: "Not supported" },
  };

  const CANCELLED = {
    linger: "Nobody was watching any more, so the server stopped it.",
    deleted: "This answer was deleted on the server.",
  };

  const SPEAK_EVERY = 3000; // ms; phrases that follow faster than this are spoken together
  const SPOKEN_KEPT = 5; // phrases; older ones are no longer needed and would be met a second time when browsing

  const page = {};
  for (const id of ["state", "gap", "text", "notice", "counts", "link", "copy", "stop", "again", "spoken"]) {
    page[id] = document.getElementById(id);
  }

  let run; // all that is known of the stream on show

  function begin() {
    if (run) {
      run.source.close();
      clearTimeout(run.speaking);
    }
    run = { name: watched, text: "", spoken: 0, opened: false, over: false };
    page.text.textContent = page.gap.textContent = page.counts.textContent = page.spoken.textContent = "";
    page.stop.disabled = false;
    page.link.hidden = true;
    enter("connecting");
    run.source = new EventSource(watched ? streams + watched + "?format=text" : base);
    listen(run.source);
  }

  // Nothing here closes the EventSource when the stream has ended: it reconnects once more with the terminal event's ID,
  // and the server's 204 closes it for good. So a page that missed the terminal event gets it by the same way.
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
    const { label, live, ended } = STATES[state];
    document.documentElement.dataset.state = state;
    write(page.state, label);
    write(page.notice, notice);
    show(page.stop, live && run.name);
    show(page.copy, run.name && state !== "lost");
    show(page.again, ended);
  }

  // A live region is read again whenever it is set, even to what it says already.
  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // The focus must not fall from a button that goes away back to the top of the page.
  function show(button, wanted) {
    if (!wanted && button === document.activeElement) page.text.focus({ preventScroll: true });
    button.hidden = !wanted;
  }

  function onOpen() {
    run.opened = true;
    if (run.name && !run.over) enter("streaming");
  }

  function onError() {
    if (run.over) return; // the reconnection that the server answers 204
    if (run.source.readyState === EventSource.CLOSED) onRefused();
    else if (run.epoch) enter("reconnecting");
    else enter("reconnecting", run.opened ? "The server is busy; trying again." : "The server cannot be reached; trying again.");
  }

  // Closed for good, and no terminal event was seen: after a restart, for one, the server does not know the stream.
  function onRefused() {
    if (run.epoch) end("lost", "The server no longer has this answer; what arrived is above.");
    else if (watched) end("lost", "The server does not have this answer.");
    else end("failed", "The server did not start an answer. Try again in a moment.");
  }

  function onText(event) {
    run.over = false; // a stream of this name may have begun again
    count(event);
    showText(event.data);
    enter("streaming");
    speakSoon();
  }

  function onGap(event) {
    const { reason, missed } = detail(event);
    if (reason !== "trimmed") page.gap.textContent = "The server could not go on where this page was; the text is another one now.";
    else page.gap.textContent = "A part of the text is missing" + (missed ? " (" + missed + " tokens)." : ".");
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
    enter(state, notice);
  }

  function detail(event) {
    try {
      return JSON.parse(event.data) || {};
    } catch (error) {
      return {};
    }
  }

  // An ID is <epoch>-<number of the last token>. The rate counts from the first token on, not from the question.
  function count(event) {
    const [, epoch, number] = /^(.+)-(\d+)$/.exec(event.lastEventId) || [];
    if (!epoch) return;
    if (epoch !== run.epoch || run.first.tokens === 0) run.first = { tokens: Number(number), time: event.timeStamp };
    run.epoch = epoch;
    run.name = watched || epoch;
    run.tokens = Number(number);
    run.seconds = (event.timeStamp - run.first.time) / 1000;
    showCounts();
  }

  function showCounts() {
    const rate = run.seconds >= 0.5 ? (run.tokens - run.first.tokens) / run.seconds : 0;
    const parts = [run.tokens === 1 ? "1 token" : (run.tokens || 0).toLocaleString("en") + " tokens"];
    if (rate > 0) parts.push((rate < 100 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en")) + " per second");
    write(page.counts, parts.join(" · "));
  }

  // Growth is appended to the text node, which leaves what the reader has selected as it is; only another text replaces it.
  function showText(text) {
    const root = document.documentElement;
    const atEnd = root.scrollHeight - root.clientHeight - window.scrollY < 32; // px; less than two lines
    if (run.text && text.startsWith(run.text)) {
      page.text.firstChild.appendData(text.slice(run.text.length));
    } else {
      page.text.textContent = text;
      run.spoken = 0;
    }
    run.text = text;
    if (atEnd) window.scrollTo(0, root.scrollHeight); // a reader who has scrolled up is left in peace
  }

  function speakSoon() {
    if (!run.speaking && run.spoken < run.text.length) run.speaking = setTimeout(speakPhrase, SPEAK_EVERY);
  }

  // Up to the last sentence that is complete; where none is, up to the last word.
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

  async function onStop() {
    const asked = run;
    page.stop.disabled = true;
    try {
      const response = await fetch(streams + asked.name + "/cancel", { method: "POST" });
      if (!response.ok) throw new Error(response.statusText);
    } catch (error) {
      if (asked !== run || run.over) return;
      page.stop.disabled = false;
      page.notice.textContent = "The server could not be told to stop.";
    }
  }

  async function onCopy() {
    const link = streams + run.name;
    try {
      await navigator.clipboard.writeText(link); // undefined where the page came by plain HTTP from another machine
      page.copy.textContent = "Copied";
      say("Link copied");
      setTimeout(() => { page.copy.textContent = "Copy link"; }, 2000); // ms
    } catch (error) {
      page.link.value = link;
      page.link.hidden = false;
      page.link.select();
    }
  }

  function onAgain() {
    if (watched) location.assign(base);
    else begin();
  }

  page.stop.addEventListener("click", onStop);
  page.copy.addEventListener("click", onCopy);
  page.again.addEventListener("click", onAgain);

  if (window.EventSource) {
    begin();
  } else {
    run = {};
    enter("unsupported", "This browser has no EventSource, by which the text would arrive. Any current browser has it.");
  }
})();
