// Shows a text as it is, and published events. The text is in parts, so that another token is cheap.

const PART = 2048; // Characters. A part ends at the end of the line after them.
const STEP = 100000; // Characters shown in one frame.
const EVENTS_KEPT = 1000; // Published events. The oldest ones leave the page, which may stay open for weeks.

export class Plain {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.text = "";
    this.shown = 0;
    this.events = [];
    this.part = null;
    this.element.replaceChildren();
  }

  append(text) {
    this.text += text;
  }

  // A published event, after the text before it.
  appendEvent(type, data) {
    this.events.push({ at: this.text.length, type, data });
    if (this.events.length > EVENTS_KEPT) this.events.shift();
  }

  show() {
    const limit = this.shown + STEP;
    while (this.events.length && this.events[0].at <= limit) {
      const { at, type, data } = this.events.shift();
      this.showText(at);
      this.showEvent(type, data);
    }
    this.showText(Math.min(this.text.length, limit));
    return this.shown < this.text.length;
  }

  showText(end) {
    while (this.shown < end) {
      if (!this.part) {
        this.part = this.element.appendChild(document.createElement("span")).appendChild(document.createTextNode(""));
      }
      const room = PART - this.part.length;
      const line = this.text.indexOf("\n", this.shown + Math.max(0, room)) + 1;
      const stop = line && line < end ? line : end;
      this.part.appendData(this.text.slice(this.shown, stop)); // This preserves the reader's selection.
      this.shown = stop;
      if (stop === line) this.part = null;
    }
  }

  showEvent(type, data) {
    const element = this.element.appendChild(document.createElement("p"));
    element.className = "event";
    element.dir = "auto";
    if (type !== "message") {
      element.appendChild(document.createElement("b")).textContent = type;
      element.append(" "); // For those who copy the text.
    }
    element.append(data);
    this.part = null;
    while (this.element.childNodes.length > EVENTS_KEPT) this.element.firstChild.remove();
  }
}
