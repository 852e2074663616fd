// The inline structure of Markdown (https://spec.commonmark.org/0.31.2/#inlines): emphasis, code, links; and deleted text and bare URLs as
// GitHub has them. HTML is text here. Of a text that is still growing, marks without their partners count as closed at its end, and
// marks at the very end are left out, so that nothing shown has to be taken back.

import { foldLabel } from "./blocks.js";

const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z]\w{1,31}));/g;
const URL = /https?:\/\/[^\s<>]+/g;
const PLAIN = /[^\\`*_~[\]!<&\n ]+| +(?![ \n]|$)/y;
const DESTINATION = /[ \t\n]*(?:<((?:[^<>\n\\]|\\.)*)>|((?!<)(?:[^\x00-\x20\\()]|\\.|\((?:[^\x00-\x20\\()]|\\.|\((?:[^\x00-\x20\\()]|\\.)*\))*\))*))/y;
const TITLE = /[ \t\n]+(?:"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'|\(((?:[^()\\]|\\[^])*)\))/y;
const AUTOLINK = /<(?:([a-zA-Z][a-zA-Z\d+.-]{1,31}:[^\s<>]*)|([\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)*))>/y;
const UNFINISHED = /(?:[*_~`]+|\\|!?\[(?:[ xX]|\^?\d{1,3})?\]?|&[#\w]*|<[^\s>]*|\bhttps?:?\/{0,2})$/;

const NAMES = Object.fromEntries(
  ("amp& lt< gt> quot\" apos' nbsp\u00a0 copy© reg® trade™ hellip… mdash— ndash– lsquo‘ rsquo’ ldquo“ rdquo” laquo« raquo» bull• middot· times× divide÷ " +
    "deg° plusmn± micro\u00b5 para¶ sect§ euro€ pound£ yen¥ cent¢ larr← uarr↑ rarr→ darr↓ harr↔ le≤ ge≥ ne≠ asymp≈ infin∞ sum∑ radic√ minus− " +
    "frac12½ frac14¼ frac34¾ sup2² sup3³ auml\u00e4 ouml\u00f6 uuml\u00fc Auml\u00c4 Ouml\u00d6 Uuml\u00dc szlig\u00df eacute\u00e9 egrave\u00e8 agrave\u00e0 ccedil\u00e7 ntilde\u00f1 pi\u03c0 alpha\u03b1 beta\u03b2 lambda\u03bb Omega\u03a9 Delta\u0394 check✓")
    .split(" ").map((each) => [each.slice(0, -1), each.slice(-1)]),
);

function decodeEntities(text) {
  return text.replace(ENTITY, (all, decimal, hex, name) => {
    if (name) return NAMES[name] || all;
    const code = parseInt(decimal || hex, decimal ? 10 : 16);
    return code && code < 0x110000 && !(code >= 0xd800 && code < 0xe000) ? String.fromCodePoint(code) : "\ufffd";
  });
}

// Of link targets and info strings.
export function decode(text) {
  return text.replace(/\\([!-/:-@[-`{-~])|&#?\w+;/g, (all, escaped) => escaped || decodeEntities(all));
}

// A nested list of siblings: `{ text }`, or `{ tag, children }` with the attributes of the element.
class Reader {
  constructor(text, definitions, growing) {
    this.text = text;
    this.definitions = definitions;
    this.growing = growing;
    this.at = 0;
    this.head = { next: null };
    this.tail = this.head;
    this.marks = []; // Runs of delimiters that may open or close emphasis.
    this.brackets = [];
    this.wanted = new Set(); // Labels without a definition.
  }

  push(node) {
    node.before = this.tail;
    node.next = null;
    this.tail.next = node;
    this.tail = node;
    return node;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found;
  }

  read() {
    while (this.at < this.text.length) this.readNext();
    if (this.growing) this.closeLinks();
    this.emphasize(0);
    return collect(this.head.next);
  }

  readNext() {
    const plain = this.match(PLAIN);
    if (plain) {
      this.push({ text: plain[0] });
      return;
    }
    const mark = this.text[this.at];
    if (mark === "\\") this.readEscape();
    else if (mark === "`") this.readCode();
    else if (mark === "*" || mark === "_" || mark === "~") this.readMarks(mark);
    else if (mark === "[") this.openBracket(1);
    else if (mark === "!" && this.text[this.at + 1] === "[") this.openBracket(2);
    else if (mark === "]") this.closeBracket();
    else if (mark === "<") this.readAutolink();
    else if (mark === "&") this.readEntity();
    else if (mark === "\n" || mark === " ") this.readLineEnd();
    else this.take(1);
  }

  take(length) {
    this.push({ text: this.text.substr(this.at, length) });
    this.at += length;
  }

  readEscape() {
    const next = this.text[this.at + 1];
    if (next === "\n") {
      this.push({ tag: "br", children: [] });
      this.at += 2;
      this.match(/ +/y);
    } else if (next && /[!-/:-@[-`{-~]/.test(next)) {
      this.push({ text: next });
      this.at += 2;
    } else this.take(1);
  }

  readEntity() {
    const [all] = this.match(/&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[a-zA-Z]\w{1,31});/y) || [];
    if (all) this.push({ text: decodeEntities(all) });
    else this.take(1);
  }

  // Spaces at the end of a line: two of them break the line.
  readLineEnd() {
    const [spaces] = this.match(/ *\n? */y);
    if (!spaces.includes("\n")) return;
    this.push(/^ {2}/.test(spaces) ? { tag: "br", children: [] } : { text: "\n" });
  }

  readCode() {
    const [run] = this.match(/`+/y);
    const start = this.at;
    const pattern = /`+/g;
    pattern.lastIndex = start;
    let end = pattern.exec(this.text);
    while (end && end[0] !== run) end = pattern.exec(this.text);
    if (!end && !this.growing) {
      this.push({ text: run });
      return;
    }
    const code = this.text.slice(start, end ? end.index : undefined).replace(/\n/g, " ");
    this.at = end ? pattern.lastIndex : this.text.length;
    this.push({ tag: "code", children: [{ text: /^ .*[^ ].* $/.test(code) ? code.slice(1, -1) : code }] });
  }

  readMarks(mark) {
    const start = this.at;
    const [run] = this.match(mark === "*" ? /\*+/y : mark === "_" ? /_+/y : /~+/y);
    const before = [...this.text.slice(Math.max(0, start - 2), start)].pop() || "\n";
    const after = String.fromCodePoint(this.text.codePointAt(this.at) || 10);
    const left = !/\s/.test(after) && (!PUNCTUATION.test(after) || /\s/.test(before) || PUNCTUATION.test(before));
    const right = !/\s/.test(before) && (!PUNCTUATION.test(before) || /\s/.test(after) || PUNCTUATION.test(after));
    const opens = left && (mark !== "_" || !right || PUNCTUATION.test(before));
    const closes = right && (mark !== "_" || !left || PUNCTUATION.test(after));
    const node = this.push({ text: run });
    if (mark !== "~" || run.length < 3) this.marks.push({ node, mark, count: run.length, length: run.length, opens, closes });
  }

  openBracket(length) {
    this.take(length);
    this.brackets.push({ node: this.tail, isImage: length === 2, marks: this.marks.length, start: this.at, active: true });
  }

  closeBracket() {
    const bracket = this.brackets.pop();
    const label = bracket && this.text.slice(bracket.start, this.at);
    this.at += 1;
    const target = bracket && bracket.active ? this.readTarget(label) : null;
    if (target) this.link(bracket, target);
    else this.push({ text: "]" });
  }

  // The target of a link whose text has ended: in parentheses, or defined elsewhere. A target that is still growing is unknown.
  readTarget(label) {
    const start = this.at;
    if (this.text[start] === "(") {
      this.at += 1;
      const [, angled, bare = ""] = this.match(DESTINATION) || [];
      const title = this.match(TITLE);
      this.match(/[ \t\n]*/y);
      if (this.text[this.at] === ")") {
        this.at += 1;
        return { href: decode(angled === undefined ? bare : angled), title: title ? decode(title[1] || title[2] || title[3] || "") : "" };
      }
      if (this.growing && (!/[\n)]/.test(this.text.slice(start)) || this.at >= this.text.length - 1)) {
        this.at = this.text.length;
        return { href: "", title: "" };
      }
      this.at = start;
    }
    if (this.growing && this.at === this.text.length) return { href: "", title: "" };
    const [, second] = this.match(/\[((?:[^[\]\\]|\\[^])*)\]/y) || [];
    const name = foldLabel(second || label);
    const found = name && (second || !/(?:^|[^\\])\[/.test(label)) && this.definitions.get(name);
    if (found) return { href: decode(found.place.replace(/^<([^]*)>$/, "$1")), title: decode(found.title) };
    if (name) this.wanted.add(name);
    this.at = start;
    return null;
  }

  link({ node, isImage, marks }, { href, title }) {
    this.emphasize(marks);
    const children = node.next;
    this.tail = node;
    node.next = null;
    if (children) children.before = null;
    Object.assign(node, { text: undefined, tag: isImage ? "img" : "a", href, title, children: collect(children) });
    if (!isImage) for (const bracket of this.brackets) bracket.active = bracket.active && bracket.isImage;
  }

  // The text after a bracket of a growing text becomes a link: most of them do.
  closeLinks() {
    const bracket = this.brackets.find(({ active, start }) => active && !this.text.slice(start).includes("\n"));
    if (bracket) this.link(bracket, { href: "", title: "" });
  }

  readAutolink() {
    const [, url, address] = this.match(AUTOLINK) || [];
    if (url || address) this.push({ tag: "a", href: address ? "mailto:" + address : url, title: "", children: [{ text: url || address }] });
    else this.take(1);
  }

  // Section "phase 2: inline structure" of the specification: join each closing run with the nearest run that opens.
  emphasize(bottom) {
    const { marks } = this;
    for (let place = bottom; place < marks.length; ) {
      const closer = marks[place];
      let from = place - 1;
      if (closer.closes) while (from >= bottom && !fits(marks[from], closer)) from -= 1;
      if (!closer.closes || from < bottom) {
        if (closer.closes && !closer.opens) marks.splice(place, 1);
        else place += 1;
        continue;
      }
      const opener = marks[from];
      const count = closer.mark === "~" ? closer.count : Math.min(opener.count, closer.count, 2);
      this.wrap(opener.node, closer.node, closer.mark, count);
      marks.splice(from + 1, place - from - 1);
      place = from + 1;
      for (const each of [opener, closer]) {
        each.count -= count;
        each.node.text = each.mark.repeat(each.count);
      }
      if (!opener.count) marks.splice(from, 1);
      place -= opener.count ? 0 : 1;
      if (!closer.count) marks.splice(place, 1);
    }
    if (this.growing) this.closeMarks(bottom);
    marks.length = bottom;
  }

  // The innermost run first. A run between two letters may be a multiplication.
  closeMarks(bottom) {
    for (const { node, mark, count, opens, closes } of this.marks.slice(bottom).reverse()) {
      if (!opens || closes || !node.next || count > 3) continue;
      node.text = "";
      if (mark === "~") this.wrap(node, null, mark, count);
      else {
        if (count > 1) this.wrap(node, null, mark, 2);
        if (count !== 2) this.wrap(node, null, mark, 1);
      }
    }
  }

  // Move the nodes between two others into an element.
  wrap(from, to, mark, count) {
    const first = from.next === to ? null : from.next;
    if (to) to.before.next = null;
    const element = { tag: mark === "~" ? "del" : count === 2 ? "strong" : "em", children: collect(first), before: from, next: to };
    from.next = element;
    if (to) to.before = element;
    else this.tail = element;
  }
}

function fits(opener, closer) {
  if (opener.mark !== closer.mark || !opener.opens) return false;
  if (closer.mark === "~") return opener.count === closer.count;
  return !((closer.opens || opener.closes) && (opener.length + closer.length) % 3 === 0 && (opener.length % 3 || closer.length % 3));
}

// Return siblings as a list, with joined texts.
function collect(first) {
  const nodes = [];
  for (let node = first; node; node = node.next) {
    const before = nodes[nodes.length - 1];
    if (node.tag) nodes.push({ tag: node.tag, href: node.href, title: node.title, children: node.children });
    else if (before && !before.tag) before.text += node.text;
    else if (node.text) nodes.push({ text: node.text });
  }
  return nodes;
}

function linkURLs(nodes) {
  return nodes.flatMap((node) => {
    if (node.tag) return [/^(?:a|code|img)$/.test(node.tag) ? node : { ...node, children: linkURLs(node.children) }];
    const parts = [];
    let end = 0;
    for (const { 0: found, index } of node.text.matchAll(URL)) {
      let url = found.replace(/[?!.,:;*_~'"]+$/, "");
      while (/\)$/.test(url) && url.split(")").length > url.split("(").length) url = url.slice(0, -1);
      if (index > end) parts.push({ text: node.text.slice(end, index) });
      parts.push({ tag: "a", href: url, title: "", children: [{ text: url }] });
      end = index + url.length;
    }
    if (end < node.text.length) parts.push({ text: node.text.slice(end) });
    return parts;
  });
}

// Read the text of a block. `wanted` are labels that another line may still define.
export function readInlines(text, definitions, growing) {
  const reader = new Reader(growing ? text.replace(UNFINISHED, "") : text.replace(/[ \t]+$/, ""), definitions, growing);
  return { nodes: linkURLs(reader.read()), wanted: reader.wanted };
}
