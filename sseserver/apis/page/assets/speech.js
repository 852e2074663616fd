// Speaks a growing text by phrases, for screen readers. The text itself is no live region: it would start over at each token.

const SPEAK_EVERY = 3000; // Milliseconds. Phrases that arrive faster are spoken together.
const SPOKEN_KEPT = 5; // Phrases. A screen reader that browses the page would read older ones a second time.
const LONGEST = 4000; // Characters. Of a text that arrives faster than anybody listens, the end is spoken.

const place = document.getElementById("spoken");
let unspoken = "";
let timer = 0;

export function say(phrase) {
  place.appendChild(document.createElement("p")).textContent = phrase;
  if (place.childElementCount > SPOKEN_KEPT) place.firstChild.remove();
}

function speak(phrase) {
  unspoken = unspoken.slice(phrase.length);
  if (phrase.trim()) say(phrase.length > LONGEST ? "… " + phrase.slice(-LONGEST) : phrase);
}

function speakSoon() {
  if (!timer && unspoken) timer = setTimeout(speakPhrase, SPEAK_EVERY);
}

// Speak up to the end of the last complete sentence, or else up to the last complete word.
function speakPhrase() {
  timer = 0;
  const [phrase] = /^[^]*(?:[.!?…:;]["'”’)\]]*\s|[。！？\n])/.exec(unspoken) || /^[^]*\s/.exec(unspoken) || [""];
  if (!phrase) return;
  speak(phrase);
  speakSoon();
}

export function hear(text) {
  unspoken += text;
  speakSoon();
}

// Speak the rest.
export function conclude() {
  clearTimeout(timer);
  timer = 0;
  speak(unspoken);
}

// Forget what was not spoken yet.
export function hush() {
  clearTimeout(timer);
  timer = 0;
  unspoken = "";
}

export function clear() {
  hush();
  place.replaceChildren();
}
