// The block structure of Markdown (https://spec.commonmark.org/0.31.2/, and the tables of GitHub), line by line. Only open blocks change
// with a line: so the last line, which is still growing, can be read and taken back.

const SPECIAL = /^[>#`~*+\-_=|:0-9]/; // A line that begins otherwise is text.
const RULE = /^(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$/;
const DELIMITERS = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const LABEL = /^\[((?:[^[\]\\]|\\[^])+)\]:/.source;
const PLACE = /[ \t]*\n?[ \t]*(<(?:[^<>\n\\]|\\.)*>|[^\s<]\S*)/.source;
const TITLE = /(?:[ \t]+|[ \t]*\n[ \t]*)("(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|\((?:[^()\\]|\\[^])*\))/.source;
const DEFINITIONS = [TITLE, ""].map((title) => new RegExp(LABEL + PLACE + title + "[ \\t]*(?:\\n|$)"));

const LONG = 8192; // Characters. A longer paragraph is continued in another one, so that a change of it stays cheap.

export const foldLabel = (label) => label.trim().replace(/\s+/g, " ").toLowerCase().toUpperCase();

const last = ({ children }) => children[children.length - 1];

// Split the row of a table. A bar after a backslash is text.
export function splitRow(row) {
  const cells = row.trim().replace(/^\|/, "").match(/(?:[^|\\]|\\[^]?)*(?:\||$)/g);
  if (cells[cells.length - 1] === "") cells.pop();
  return cells.map((cell) => cell.replace(/\|$/, "").replace(/\\\|/g, "|").trim());
}

export class Blocks {
  constructor() {
    this.definitions = new Map();
    this.number = 0; // Number of the last line.
    this.root = this.make("doc", null);
  }

  make(type, parent) {
    return { type, parent, children: [], lines: [], size: 0, open: true, end: this.number, view: {} };
  }

  // The innermost open block.
  get tip() {
    let node = this.root;
    for (let child = last(node); child && child.open; child = last(node)) node = child;
    return node;
  }

  // Remember the open blocks, for `restore`.
  save() {
    const nodes = [];
    for (let node = this.root; node && node.open; node = last(node)) {
      nodes.push({ node, members: { ...node }, children: node.children.length, lines: node.type === "para" ? [...node.lines] : null, count: node.lines.length });
    }
    return { nodes, number: this.number };
  }

  restore({ nodes, number }) {
    this.number = number;
    for (const { node, members, children, lines, count } of nodes) {
      Object.assign(node, members, { view: node.view });
      node.children.length = children;
      if (lines) node.lines = lines;
      else node.lines.length = count;
      node.dirty = true;
    }
  }

  // Read a line, without its end.
  feed(text) {
    this.number += 1;
    this.text = text.replace(/\0/g, "\ufffd");
    this.at = this.column = 0;
    this.inTab = this.consumed = false;
    let node = this.root;
    for (let child = last(node); child && child.open; child = last(node)) {
      if (!this.continues(child)) break;
      node = child;
      if (this.consumed) break;
    }
    if (!this.consumed) node = this.place(node);
    this.current = node;
    const isBlank = !/[^ \t]/.test(text) && !node.fence;
    for (let each = node; each; each = each.parent) {
      each.dirty = true;
      if (!isBlank) each.end = this.number;
    }
  }

  // Read what follows the marks of the blocks that go on, and return the block that has the line.
  place(node) {
    const tip = this.tip;
    let started = null;
    while ((started || node).type !== "code" && !this.consumed) {
      this.look();
      const child = this.start(started || node, tip);
      if (!child) break;
      started = child;
    }
    if (this.consumed) return started;
    this.look();
    if (!started && node !== tip && !this.blank && tip.type === "para") return this.addLine(tip, this.text.slice(this.next)); // Lazily continued.
    node = started || node;
    this.closeBelow(node);
    if (node.type === "code") return this.addLine(node, this.rest());
    if (node.type === "table") return this.addLine(node, this.text.slice(this.next));
    if (this.blank) return node;
    if (node.type !== "para" || node.size > LONG) node = this.add(node, "para");
    return this.addLine(node, this.text.slice(this.next));
  }

  addLine(node, line) {
    node.lines.push(line);
    node.size += line.length;
    return node;
  }

  // Find the next character that is no space.
  look() {
    let { at, column } = this;
    for (; ; at += 1) {
      if (this.text[at] === " ") column += 1;
      else if (this.text[at] === "\t") column += 4 - (column % 4);
      else break;
    }
    this.next = at;
    this.indent = column - this.column;
    this.blank = at >= this.text.length;
  }

  // Skip spaces. A tab may be skipped in part.
  skip(columns) {
    for (let left = columns; left > 0 && /[ \t]/.test(this.text[this.at] || ""); ) {
      const width = this.text[this.at] === "\t" ? 4 - (this.column % 4) : 1;
      const step = Math.min(width, left);
      this.inTab = step < width;
      this.column += step;
      left -= step;
      if (!this.inTab) this.at += 1;
    }
  }

  // Skip spaces and the mark after them.
  skipMark(length) {
    this.skip(this.indent);
    this.at += length;
    this.column += length;
  }

  rest() {
    return this.inTab ? " ".repeat(4 - (this.column % 4)) + this.text.slice(this.at + 1) : this.text.slice(this.at);
  }

  // Tell whether an open block goes on in this line, and skip its mark.
  continues(node) {
    this.look();
    const { indent, blank } = this;
    if (node.type === "list") return true;
    if (node.type === "quote") return this.skipQuote();
    if (node.type === "item") {
      if (blank ? !node.children.length : indent < node.width) return false;
      this.skip(blank ? indent : node.width);
      return true;
    }
    if (node.fence) {
      const [close] = /^(?:`{3,}|~{3,})(?=[ \t]*$)/.exec(this.text.slice(this.next)) || [""];
      if (indent < 4 && close[0] === node.fence[0] && close.length >= node.fence.length) {
        node.open = false;
        this.consumed = true;
      } else this.skip(Math.min(indent, node.indent));
      return true;
    }
    if (node.type === "code") {
      if (indent < 4 && !blank) return false;
      this.skip(blank ? Math.min(indent, 4) : 4);
      return true;
    }
    return (node.type === "para" || node.type === "table") && !blank;
  }

  skipQuote() {
    if (this.indent > 3 || this.text[this.next] !== ">") return false;
    this.skipMark(1);
    this.skip(1);
    return true;
  }

  // Begin a block, and return it; or return nothing if the line goes on with text.
  start(node, tip) {
    const { indent, text, next } = this;
    if (this.blank) return null;
    if (indent > 3) {
      if (tip.type === "para" && tip.open) return null;
      this.skip(4);
      return this.add(node, "code");
    }
    const rest = text.slice(next);
    if (!SPECIAL.test(rest)) return null;
    if (this.skipQuote()) return this.add(node, "quote");
    let [mark] = /^#{1,6}(?=[ \t]|$)/.exec(rest) || [];
    if (mark) return this.startHeading(node, mark.length, rest.slice(mark.length));
    [mark] = /^`{3,}(?=[^`]*$)|^~{3,}/.exec(rest) || [];
    if (mark) return this.consume(Object.assign(this.add(node, "code"), { fence: mark, indent, info: rest.slice(mark.length).trim() }));
    if (node.type === "para" && /^(?:=+|-+)[ \t]*$/.test(rest) && this.define(node)) {
      return this.consume(Object.assign(node, { type: "heading", level: rest[0] === "=" ? 1 : 2, open: false }));
    }
    if (node.type === "para" && DELIMITERS.test(rest)) {
      const table = this.startTable(node, rest);
      if (table) return table;
    }
    if (RULE.test(rest)) return this.consume(Object.assign(this.add(node, "rule"), { open: false }));
    return this.startItem(node, rest);
  }

  consume(node) {
    this.consumed = true;
    return node;
  }

  startHeading(node, level, text) {
    const line = text.trim().replace(/(?:^|[ \t]+)#+$/, "").trim();
    return this.consume(Object.assign(this.add(node, "heading"), { level, lines: [line], open: false }));
  }

  // The last line of the paragraph is the head of the table.
  startTable(node, delimiters) {
    const head = splitRow(node.lines[node.lines.length - 1]);
    const aligns = splitRow(delimiters).map((cell) => (/:$/.test(cell) ? (cell[0] === ":" ? "center" : "end") : ""));
    if (aligns.length !== head.length || !/\|/.test(delimiters + node.lines[node.lines.length - 1])) return null;
    node.lines.pop();
    const table = node.lines.length ? this.add(node.parent, "table") : node;
    return this.consume(Object.assign(table, { type: "table", head, aligns }));
  }

  startItem(node, rest) {
    const [mark, number] = /^(?:[*+-]|(\d{1,9})[.)])(?=[ \t]|$)/.exec(rest) || [];
    if (!mark) return null;
    if (node.type === "para" && (!rest.slice(mark.length).trim() || (number && Number(number) !== 1))) return null;
    const before = this.indent;
    this.skipMark(mark.length);
    this.look();
    const spaces = this.blank || this.indent > 4 ? 1 : this.indent;
    this.skip(spaces);
    const kind = mark[mark.length - 1];
    const list = node.type === "list" && node.kind === kind ? node : Object.assign(this.add(node, "list"), { kind, number });
    return Object.assign(this.add(list, "item"), { width: before + mark.length + spaces });
  }

  // Add a block to the next block outside that can have it. A list is loose if there is an empty line between two blocks of it.
  add(node, type) {
    let parent = node;
    while (parent.type === "list" ? type !== "item" : !/^(?:doc|quote|item)$/.test(parent.type)) parent = parent.parent;
    this.closeBelow(parent);
    const before = last(parent);
    if (before && this.number > before.end + 1) (parent.type === "item" ? parent.parent : parent).loose = true;
    const child = this.make(type, parent);
    parent.children.push(child);
    return child;
  }

  closeBelow(node) {
    const child = last(node);
    if (!child || !child.open) return;
    this.closeBelow(child);
    child.open = false;
    child.dirty = true;
    if (child.type === "para") this.define(child);
  }

  // Take the definitions of links from the start of a paragraph. Return whether there is any text after them.
  define(node) {
    let text = node.lines.join("\n");
    while (text[0] === "[") {
      const [all, label, place, title = ""] = DEFINITIONS[0].exec(text) || DEFINITIONS[1].exec(text) || [];
      if (!all || !label.trim()) break;
      const name = foldLabel(label);
      if (!this.definitions.has(name)) this.definitions.set(name, { place, title: title.slice(1, -1) });
      text = text.slice(all.length);
    }
    node.lines = text ? text.split("\n") : [];
    if (!text) node.type = "definition";
    return text !== "";
  }
}
