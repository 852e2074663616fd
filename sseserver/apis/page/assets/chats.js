// The conversations that this browser keeps. Each turn is stored under the path of its stream, with the name of the turn before it; a
// list has the newest turn of each conversation. When there is no more room, the oldest conversation is forgotten.

import { base, streams } from "./places.js";

const LIST = base.pathname + "chats";
const SESSION = base.pathname + "session";
const CHATS_KEPT = 200;

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch (error) {
    return null; // Storage is disabled, or somebody else has written there.
  }
}

function write(key, value) {
  for (;;) {
    try {
      localStorage.setItem(key, JSON.stringify(value));
      return;
    } catch (error) {
      if (!dropOldest(key)) return; // Storage is too small or disabled: a reload shows the answer only.
    }
  }
}

// Return whether there is more room.
function dropOldest(spared) {
  const oldest = listChats().pop();
  if (oldest) return forgetChat(oldest.chat);
  const turns = list((key) => key.startsWith(streams.pathname) && key !== spared);
  const [[, first] = []] = turns.map((key) => [(read(key) || {}).time || 0, key]).sort(([one], [other]) => one - other);
  if (first) localStorage.removeItem(first);
  return Boolean(first);
}

function list(test) {
  try {
    return Object.keys(localStorage).filter(test);
  } catch (error) {
    return [];
  }
}

export const readTurn = (name) => (name ? read(streams.pathname + name) : null);

export const keepTurn = (name, turn) => write(streams.pathname + name, { ...turn, time: Date.now() });

// The turns up to one of them, the oldest first.
export function recall(name) {
  const turns = [];
  for (let place = name, turn = readTurn(place); turn && turn.question; place = turn.after, turn = readTurn(place)) turns.unshift({ ...turn, name: place });
  return turns;
}

// The conversations, the newest first: `chat` is the name of the first turn, and `name` of the last.
export function listChats() {
  const chats = read(LIST);
  return Array.isArray(chats) ? chats : [];
}

export function keepChat({ chat, name, title }) {
  const others = listChats().filter((each) => each.chat !== chat);
  for (const { chat: old } of others.splice(CHATS_KEPT - 1)) forgetChat(old);
  write(LIST, [{ chat, name, title }, ...others]);
}

export function forgetChat(chat) {
  try {
    localStorage.setItem(LIST, JSON.stringify(listChats().filter((each) => each.chat !== chat)));
    for (const key of list((each) => each.startsWith(streams.pathname))) if ((read(key) || {}).chat === chat) localStorage.removeItem(key);
    return true;
  } catch (error) {
    return false;
  }
}

// Whether this browser has a session, as far as the page knows: its cookie cannot be read.
export const hasSession = () => Boolean(read(SESSION));

export const noteSession = (begun) => write(SESSION, begun);

export const isList = (key) => key === LIST;
