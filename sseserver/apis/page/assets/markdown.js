// Shows Markdown as DOM nodes while it is being written. The blocks of `blocks.js` have elements; only those that have changed are
// touched, so the work for a token does not depend on the length of the answer, and a selection stays.

import { Blocks, splitRow } from "./blocks.js";
import { decode, readInlines } from "./inlines.js";

const TAGS = { doc: "div", quote: "blockquote", item: "li", para: "p", rule: "hr", table: "div", code: "div" };
const GROUP = 24; // Number of blocks.
const ROWS = 64; // Number. Lines of code share an element, so that another line is cheap.
const STEP = 1024; // Characters that are read between two looks at the clock.
const BUDGET = 6; // Milliseconds. Time to show more of a long text.
const SAFE = /^(?:https?|mailto):$/;

const MARKS_ONLY = /^[ \t>]*(?:[-+*_#=>`~|:\s]*|\d{1,9}[.)]?[ \t]*)$/; // A line that may become anything.
const FENCE_ONLY = /^[ \t>]*(?:`+|~+)[ \t]*$/;

// Return an element with attributes and children.
export function make(tag, members = {}, ...children) {
  const element = Object.assign(document.createElement(tag), members);
  element.append(...children);
  return element;
}

// Return the address of a link if it is one that a visitor can follow without harm.
function findAddress(href) {
  try {
    return href && SAFE.test(new URL(href, document.baseURI).protocol) ? href : "";
  } catch (error) {
    return "";
  }
}

function describe(node) {
  if (!node.tag) return node.text;
  if (node.tag === "img") return { ...node, tag: "a", children: node.children.length ? node.children : [{ text: node.href }] }; // Nothing is loaded from elsewhere.
  return node;
}

// Make the children of an element those that are described; keep what is the same.
function patch(parent, nodes) {
  let place = parent.firstChild;
  for (const each of nodes) {
    const node = describe(each);
    if (typeof node === "string") {
      if (place && place.nodeType === Node.TEXT_NODE) {
        if (node.startsWith(place.data)) {
          if (node.length > place.data.length) place.appendData(node.slice(place.data.length));
        } else place.data = node;
        place = place.nextSibling;
      } else parent.insertBefore(document.createTextNode(node), place);
      continue;
    }
    let element = place;
    if (element && element.localName === node.tag) place = place.nextSibling;
    else element = parent.insertBefore(document.createElement(node.tag), place);
    if (node.tag === "a") aim(element, node);
    patch(element, node.children);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function aim(element, { href, title }) {
  const address = findAddress(href);
  if (element.getAttribute("href") !== (address || null)) {
    if (address) Object.assign(element, { target: "_blank", rel: "noopener noreferrer nofollow" }).setAttribute("href", address);
    else element.removeAttribute("href");
  }
  if (element.title !== (title || "")) element.title = title;
}

// A button that copies a text. Without a clipboard (plain HTTP) the text is selected.
export function makeCopyButton(label, read) {
  const button = make("button", { type: "button", className: "quiet", textContent: label });
  button.addEventListener("click", async () => {
    const { text, element } = read();
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch (error) {
      getSelection().selectAllChildren(element);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = label; }, 2000); // Milliseconds.
  });
  return button;
}

export class Markdown {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.text = "";
    this.read = 0; // Characters of the text whose lines are complete.
    this.blocks = new Blocks();
    this.saved = null;
    this.ended = false;
    this.wanting = new Map(); // Blocks with labels that no line has defined, by their views.
    this.defined = 0;
    this.element.replaceChildren();
    this.blocks.root.view = { element: this.element, shown: [], groups: true };
  }

  append(text) {
    this.text += text;
  }

  // Show what was appended, for a few milliseconds. Return whether there is more.
  show(final) {
    const start = performance.now();
    let more = true;
    while (more && performance.now() - start < BUDGET) more = this.showStep(final);
    return more;
  }

  showStep(final) {
    if (this.ended) return false;
    if (this.saved) this.blocks.restore(this.saved);
    this.saved = null;
    const more = this.readLines();
    const rest = more ? "" : this.text.slice(this.read);
    if (final && !more) {
      if (rest) this.blocks.feed(rest);
      this.blocks.closeBelow(this.blocks.root);
      this.blocks.root.dirty = true;
      this.ended = true;
    } else if (rest && !this.holds(rest)) {
      this.saved = this.blocks.save();
      this.blocks.feed(rest);
    }
    this.growing = this.ended ? null : this.saved ? this.blocks.current : this.blocks.tip;
    if (this.grown && this.grown !== this.growing) this.grown.dirty = true; // Its marks are read as they are now.
    this.grown = this.growing;
    this.sync(this.blocks.root);
    this.redefine();
    return more;
  }

  // Read complete lines. Return whether there are more.
  readLines() {
    const limit = this.read + STEP;
    for (let end = this.text.indexOf("\n", this.read); end >= 0; end = this.text.indexOf("\n", this.read)) {
      if (this.read > limit) return true;
      this.blocks.feed(this.text.slice(this.read, end));
      this.read = end + 1;
    }
    return false;
  }

  // Tell whether the kind of a line is still open, so that it is not shown yet.
  holds(line) {
    const { tip } = this.blocks;
    if (tip.type === "code") return tip.fence ? FENCE_ONLY.test(line) : !line.trim();
    if (/^[ \t>]*(?:[-*+] +)?(?:```|~~~)/.test(line)) return true;
    return MARKS_ONLY.test(line) || (tip.type !== "table" && /^[ \t>]*\|/.test(line));
  }

  // Give the blocks of a block their elements.
  sync(node) {
    const { view, children } = node;
    const { shown } = view;
    if (!node.dirty) return;
    node.dirty = false;
    for (let place = Math.max(0, Math.min(shown.length, children.length) - 2); place < children.length; place += 1) {
      const child = children[place];
      if (shown[place] !== child) this.place(view, place, child);
      if (child.dirty) this.update(child);
    }
    while (shown.length > children.length) {
      const { element } = shown.pop().view;
      if (view.groups && element.parentNode.childNodes.length === 1) element.parentNode.remove();
      element.remove();
    }
  }

  // Show a block at a place. It takes over the element of a block of its kind, so that a growing line does not flicker.
  place({ shown, element: box, groups }, place, child) {
    const before = shown[place];
    const tag = tagOf(child);
    if (before && before.view.tag === tag && before.type === child.type) child.view = before.view;
    else {
      const element = tag === null ? document.createComment("") : document.createElement(tag);
      child.view = { element, tag, shown: [] };
      if (before) before.view.element.replaceWith(element);
      else (groups ? this.findGroup(place) : box).append(element);
      if (child.parent.type === "doc" && tag) element.dir = "auto";
      this.furnish(child);
    }
    shown[place] = child;
    child.dirty = true;
  }

  // Blocks are in groups, of which the browser lays out only those that can be seen.
  findGroup(place) {
    const { children } = this.element;
    return children[Math.floor(place / GROUP)] || this.element.appendChild(make("div", { className: "group" }));
  }

  furnish({ type, view, kind, number }) {
    const { element } = view;
    if (type === "list" && number !== undefined && Number(number) !== 1) element.start = number;
    if (type === "table") {
      element.className = "table";
      element.tabIndex = 0; // It can be scrolled.
      view.head = make("thead");
      view.body = make("tbody");
      element.append(make("table", {}, view.head, view.body));
    }
    if (type === "code") {
      Object.assign(element, { className: "code", dir: "ltr" });
      view.name = make("span");
      view.code = make("code");
      const read = () => ({ text: view.code.textContent, element: view.code });
      element.append(make("div", { className: "bar" }, view.name, makeCopyButton("Copy", read)), make("pre", { tabIndex: 0 }, view.code));
    }
  }

  update(node) {
    const { type, view } = node;
    if (tagOf(node) !== view.tag) { // A paragraph has become a heading, or a table.
      const siblings = node.parent.view;
      const place = siblings.shown.indexOf(node);
      siblings.shown[place] = { type: "", view };
      this.place(siblings, place, node);
      this.update(node);
      return;
    }
    if (type === "list") view.element.classList.toggle("tight", !node.loose);
    if (type === "code") this.updateCode(node);
    else if (type === "table") this.updateTable(node);
    else if (type === "para" || type === "heading") this.updateText(node);
    else if (type !== "rule") this.sync(node);
    node.dirty = false;
  }

  updateText(node) {
    let { lines } = node;
    if (node === this.growing && /^\|/.test(lines[lines.length - 1])) lines = lines.slice(0, -1); // It may be the head of a table.
    let text = lines.join("\n");
    if (node.parent.type === "item" && node.parent.children[0] === node) {
      text = text.replace(/^\[([ xX])\](?=\s)/, (all, mark) => (mark === " " ? "☐" : "☑"));
      node.parent.view.element.classList.toggle("task", /^[☐☑]/.test(text));
    }
    this.fill(node.view.element, text, node, node === this.growing);
  }

  fill(element, text, node, growing) {
    const { nodes, wanted } = readInlines(text, this.blocks.definitions, growing);
    patch(element, nodes);
    if (wanted.size) this.wanting.set(node.view, { node, wanted });
    else if (node.type !== "table") this.wanting.delete(node.view);
  }

  updateTable(node) {
    const { view, head, lines } = node;
    if (!view.head.firstChild) this.fillRow(view.head.appendChild(make("tr")), "th", node, head);
    for (let row = Math.max(0, view.body.childElementCount - 1); row < lines.length; row += 1) {
      this.fillRow(view.body.children[row] || view.body.appendChild(make("tr")), "td", node, splitRow(lines[row]), this.saved && node === this.growing && row === lines.length - 1);
    }
    while (view.body.childElementCount > lines.length) view.body.lastChild.remove();
  }

  fillRow(row, tag, node, cells, growing) {
    node.aligns.forEach((align, column) => {
      const cell = row.children[column] || row.appendChild(make(tag, { className: align }));
      this.fill(cell, cells[column] || "", node, growing && column >= cells.length - 1);
    });
  }

  updateCode(node) {
    const { view } = node;
    let { lines } = node;
    if (!node.fence) {
      lines = [...lines];
      while (lines.length && !lines[lines.length - 1].trim()) lines.pop();
    }
    const [language] = /^\S*/.exec(decode(node.info || ""));
    if (view.language !== language) {
      view.language = view.name.textContent = language;
      view.code.className = language ? "language-" + language : "";
    }
    const groups = view.code.children;
    for (let group = Math.max(0, groups.length - 1); group * ROWS < lines.length; group += 1) {
      const text = lines.slice(group * ROWS, (group + 1) * ROWS).join("\n") + "\n";
      patch(groups[group] || view.code.appendChild(make("span")), [{ text }]);
    }
    while (groups.length > Math.ceil(lines.length / ROWS)) groups[groups.length - 1].remove();
  }

  // Read the blocks again that have used a label before its definition.
  redefine() {
    const { definitions } = this.blocks;
    if (definitions.size === this.defined) return;
    this.defined = definitions.size;
    for (const { node, wanted } of [...this.wanting.values()]) {
      if (![...wanted].some((label) => definitions.has(label))) continue;
      if (node.type === "table") node.view.body.replaceChildren();
      if (node.type === "table") node.view.head.replaceChildren();
      this.update(node);
    }
  }
}

// Name of the element of a block; a definition has none.
function tagOf({ type, kind, level }) {
  if (type === "list") return /[.)]/.test(kind) ? "ol" : "ul";
  if (type === "heading") return "h" + level;
  return TAGS[type] || null;
}
