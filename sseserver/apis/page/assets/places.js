// The URLs of the server, which may be mounted anywhere, and the credential in the address of the page.

// The mount point is found from the URL of this file.
export const base = new URL("..", import.meta.url);
export const streams = new URL("streams/", base);

// A signed link has its rights in the query. They are for the streams that match its pattern.
const link = [...new URLSearchParams(location.search)].filter(([name]) => ["rights", "streams", "expires", "sig"].includes(name));
const { rights = "", streams: pattern = "" } = Object.fromEntries(link);

export const isLink = link.length > 0;

// Tell whether the link of the page gives a right on a stream.
export function grants(right, name) {
  const covers = pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
  return isLink && covers && rights.split(",").includes(right);
}

export const readsOnly = () => rights === "read";

export function nameOf(place) {
  return place.pathname.startsWith(streams.pathname) ? place.pathname.slice(streams.pathname.length).replace(/\/$/, "") : "";
}

function sign(url) {
  for (const [member, value] of link) url.searchParams.set(member, value);
  return url;
}

// The URL of a stream, or without a name the one that starts runs.
export function locate(name, path = "") {
  const url = new URL(streams + name + path);
  return grants("read", name) || grants("cancel", name) ? sign(url) : url;
}

export const home = () => (rights.includes("run") ? sign(new URL(base)) : new URL(base));

// The URL that takes questions.
export const intake = () => (rights.includes("run") ? sign(new URL("streams", base)) : new URL("streams", base));

const PATIENCE = 15000; // Milliseconds. Time limit of a request: a dead connection may go unnoticed.

// Send a request. The status is 0 without an answer of this server: none at all, or the page of a proxy. An error of a proxy has no body.
export async function ask(url, options = {}) {
  try {
    const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options });
    const isEmpty = options.method === "HEAD" || response.status === 204;
    const body = isEmpty ? {} : await response.json().catch(() => null);
    return { status: body || !response.ok ? response.status : 0, body };
  } catch (error) {
    return { status: 0, body: null };
  }
}

// Send a JSON object.
export function post(url, body, headers = {}) {
  return ask(url, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body });
}
