// Changes the page once for each frame, for a few milliseconds, whatever arrives meanwhile; and follows the end of the text.

const BUDGET = 10; // Milliseconds. A frame has 16.
const HIDDEN = 200; // Milliseconds. A hidden page has no frames.
const NEAR = 32; // Pixels. Less than two lines.

const jobs = new Map(); // What shows each view, and what to do after it.
const root = document.documentElement;
let due = false;
let following = true;
let lastY = 0;
let onFollow = () => {};

function plan() {
  if (due) return;
  due = true;
  if (document.hidden) setTimeout(step, HIDDEN);
  else requestAnimationFrame(step);
}

function step() {
  due = false;
  const start = performance.now();
  for (const [key, job] of jobs) {
    if (!job()) jobs.delete(key);
    if (performance.now() - start > BUDGET) break;
  }
  follow();
  if (jobs.size) plan();
}

// Call a function in the next frame, and again as long as it returns true. Another one with this key takes its place.
export function paint(key, job) {
  jobs.set(key, job);
  plan();
}

export function cancel() {
  jobs.clear();
}

function follow() {
  if (following) window.scrollTo(0, root.scrollHeight);
  lastY = window.scrollY;
}

// Follow the end of the text, or let the reader read on.
export function setFollowing(wanted) {
  following = wanted;
  if (wanted) follow();
  onFollow(following);
}

export function watchFollowing(callback) {
  onFollow = callback;
}

// A reader who scrolls up is not disturbed; one who returns to the end follows again.
window.addEventListener("scroll", () => {
  const isAtEnd = root.scrollHeight - root.clientHeight - window.scrollY < NEAR;
  if (following !== isAtEnd && (isAtEnd || window.scrollY < lastY - 1)) {
    following = isAtEnd;
    onFollow(following);
  }
  lastY = window.scrollY;
}, { passive: true });

document.addEventListener("visibilitychange", () => {
  if (jobs.size) requestAnimationFrame(() => { if (jobs.size) step(); });
});
